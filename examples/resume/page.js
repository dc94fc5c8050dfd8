/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000
const STATES = { live: 'Live', reconnecting: 'Reconnecting' }
const BUILDS = { running: 'is running', passed: 'has passed', interrupted: 'was interrupted' }
const GAPS = {
  unknown: 'The server was restarted, and cannot tell how far this page had come. It begins again:',
  expired: 'This page was away for longer than the server keeps lines. It begins again:'
}
const UNKNOWN_GAP = 'The server cannot tell how far this page had come. It begins again:'

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')

let lastEventId = ''
/** The number of the last line that is shown. */
let lastNumber = 0
let received = 0
let gaps = 0
let connections = 0
/** Whether the next line is the first one of another connection. */
let isBack = false

page.scroller.tabIndex = 0 // so that one can scroll it by key
page.start.addEventListener('click', () => fetch('builds', { method: 'POST' }).catch(() => {}))
page.cut.addEventListener('click', () => fetch('cut', { method: 'POST' }).catch(() => {}))
connect()

/** An EventSource that comes back sends its last id by itself; a new one is given that of the last line. */
function connect() {
  const source = new EventSource(`log?lastEventId=${encodeURIComponent(lastEventId)}`)
  source.addEventListener('line', (message) => {
    lastEventId = message.lastEventId
    show(JSON.parse(message.data))
  })
  source.addEventListener('gap', (message) => {
    lastEventId = message.lastEventId
    beginAgain(JSON.parse(message.data))
  })
  source.addEventListener('open', sourceOnOpen)
  source.addEventListener('error', () => {
    setState('reconnecting')
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  })
}

function sourceOnOpen() {
  connections++
  isBack = connections > 1 && lastNumber > 0
  page.reconnections.textContent = number.format(connections - 1)
  setState('live')
}

function show(line) {
  if (line.number !== lastNumber + 1) append('mark bad', missingText(line.number))
  else if (isBack) append('mark', `Reconnected: goes on with line ${number.format(line.number)}`)
  isBack = false
  lastNumber = line.number
  append(`line ${line.state}`, line.text, line.number)
  page.received.textContent = number.format(++received)
  page.build.textContent = `${line.build} ${BUILDS[line.state]}`
  page.start.disabled = line.state === 'running'
}

/** After a gap comes all that the server has, also what is shown already. */
function beginAgain({ reason }) {
  page.gaps.textContent = number.format(++gaps)
  page.log.replaceChildren()
  append('mark bad', GAPS[reason] ?? UNKNOWN_GAP)
  lastNumber = 0
  isBack = false
}

/** Never seen, unless the server keeps less than the whole log. */
function missingText(next) {
  if (next <= lastNumber) return `Line ${number.format(next)} comes again`
  return `Lines ${number.format(lastNumber + 1)} to ${number.format(next - 1)} are missing`
}

function append(className, text, lineNumber = '') {
  const item = document.createElement('li')
  item.className = className
  item.append(elementOf('span', lineNumber), elementOf('code', text))
  page.log.append(item)
}

function elementOf(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text })
}

function setState(state) {
  document.documentElement.dataset.state = state
  page.state.textContent = STATES[state]
}
