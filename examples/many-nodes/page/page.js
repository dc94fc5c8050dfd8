import { Side } from './side.js'

const number = new Intl.NumberFormat('en')
const state = document.getElementById('state')

/** The ids of all messages that a side has shown or a node has confirmed. A message has the same one on every node. */
const known = new Set()
const nodes = await (await fetch('/nodes')).json()
const sides = nodes.map(({ name, port }) => new Side(name, urlOf(port), { sideOnMessage, sideOnChange }))

document.getElementById('sides').append(...sides.map(({ element }) => element))
for (const side of sides) side.connect()

/** The same host as that of this page, whatever it is called. */
function urlOf(port) {
  return Object.assign(new URL(location.origin), { port }).origin
}

function sideOnMessage(id) {
  known.add(id)
  mark(id)
  compare()
}

function sideOnChange() {
  known.forEach(mark)
  compare()
}

/** Shows on which sides a message is that is not on all of them. */
function mark(id) {
  const isEverywhere = sides.every((side) => side.has(id))
  for (const side of sides) side.mark(id, isEverywhere)
}

function compare() {
  for (const side of sides) side.showMissing(known.size - side.size)
  const behind = sides.filter(({ size }) => size < known.size)
  document.documentElement.dataset.state = behind.length === 0 ? 'equal' : 'different'
  state.textContent = behind.length === 0 ? equalText() : differenceText(behind)
}

function equalText() {
  if (known.size === 0) return 'No messages yet'
  return `Both have the same ${number.format(known.size)} message${known.size === 1 ? '' : 's'}`
}

function differenceText(behind) {
  const lacks = behind.map(({ name, size }) => `${name} lacks ${number.format(known.size - size)}`)
  return `${new Intl.ListFormat('en').format(lacks)} of ${number.format(known.size)} messages`
}
