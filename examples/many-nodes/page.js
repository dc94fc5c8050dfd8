/** When to try the next node after one that did not answer. */
const RETRY_MS = 1_000
const MAX_SHOWN = 100

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')
const nodes = [...document.querySelectorAll('.node')]
const seen = { received: 0, missing: 0, twice: 0 }
/** Which count comes next in each series. */
const next = new Map()
let source
let retry
let lastEventId = ''

for (const [index, node] of nodes.entries()) {
  node.querySelector('.read').addEventListener('click', () => readAt(index))
  node
    .querySelector('.cut')
    .addEventListener('click', () => fetch(`node-${index + 1}/cut`, { method: 'POST' }))
}
page.scroller.tabIndex = 0 // so that one can scroll it by key
readAt(0)

/** Each node goes on after the last id, whichever told it: they share one history. */
function readAt(index) {
  source?.close()
  clearTimeout(retry)
  showNode(index)
  const opened = new EventSource(`node-${index + 1}/events?lastEventId=${encodeURIComponent(lastEventId)}`)
  let hasOpened = false
  source = opened
  const listen = (event, listener) => {
    opened.addEventListener(event, (message) => {
      lastEventId = message.lastEventId
      listener(JSON.parse(message.data))
    })
  }
  listen('sse-cursor', () => {})
  listen('count', showCount)
  listen('gap', showGap)
  opened.addEventListener('open', () => {
    hasOpened = true
    setState('live', `Live at node ${index + 1}`)
    append('moved', `Read at node ${index + 1}:`)
  })
  opened.addEventListener('error', () => {
    opened.close()
    setState('reconnecting', 'Reconnecting')
    retry = setTimeout(readAt, hasOpened ? 0 : RETRY_MS, (index + 1) % nodes.length)
  })
}

function showCount({ series, count, node }) {
  const expected = next.get(series) ?? count
  seen.received++
  if (count < expected) {
    seen.twice++
  } else {
    seen.missing += count - expected
    next.set(series, count + 1)
  }
  for (const [id, value] of Object.entries(seen)) page[id].textContent = number.format(value)
  append('count', `${number.format(count)}, published by node ${node}`)
}

/** After it, some may come that the page has. */
function showGap() {
  next.clear()
  append('gap', 'The server cannot tell what this page has missed. The count begins again:')
}

function append(className, text) {
  page.messages.append(Object.assign(document.createElement('li'), { className, textContent: text }))
  if (page.messages.children.length > MAX_SHOWN) page.messages.firstElementChild.remove()
}

function showNode(index) {
  for (const [other, node] of nodes.entries()) {
    node.toggleAttribute('data-here', other === index)
    node.querySelector('.read').setAttribute('aria-pressed', other === index)
  }
}

function setState(state, text) {
  document.documentElement.dataset.state = state
  page.state.textContent = text
}
