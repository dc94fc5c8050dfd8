/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000
const STATES = { live: 'Live', reconnecting: 'Reconnecting' }
const ENDS = {
  done: 'has passed',
  stopped: 'was stopped',
  failed: 'has failed',
  interrupted: 'was interrupted: its server was stopped'
}
const GAPS = {
  unknown: 'The server was restarted, and cannot tell how far this page had come. It begins again:',
  expired: 'The server does not keep the beginning any more. It goes on with what there is:'
}
const UNKNOWN_GAP = 'The server cannot tell how far this page had come. It begins again:'

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')

/** The build that is shown, and its stream. */
let build = 0
let log
/** The number of the last line that is shown. */
let lastNumber = 0
let received = 0
let gaps = 0
let reconnections = 0
/** Whether the next line is the first one of another connection. */
let isBack = false

page.scroller.tabIndex = 0 // so that one can scroll it by key
page.start.addEventListener('click', () => fetch('builds', { method: 'POST' }).catch(() => {}))
page.stop.addEventListener('click', () => fetch(`builds/${build}`, { method: 'DELETE' }).catch(() => {}))
page.cut.addEventListener('click', () => fetch('cut', { method: 'POST' }).catch(() => {}))
listen()

/** Which build is the newest. This stream has no end. */
function listen() {
  const source = new EventSource('builds')
  source.addEventListener('build', ({ data }) => {
    const newest = JSON.parse(data)
    if (newest.build === build) return
    build = newest.build
    page.log.replaceChildren()
    lastNumber = 0
    setBuild('is running')
    log?.close()
    follow()
  })
  source.addEventListener('open', () => setState('live'))
  source.addEventListener('error', () => {
    setState('reconnecting')
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS)
  })
}

/** An EventSource that comes back sends its last id by itself; a new one is given that of the last line. */
function follow(lastEventId = '') {
  const source = new EventSource(`builds/${build}?lastEventId=${encodeURIComponent(lastEventId)}`)
  let isFirst = true
  log = source
  source.addEventListener('open', () => {
    if (!isFirst) page.reconnections.textContent = number.format(++reconnections)
    isBack = !isFirst && lastNumber > 0
    isFirst = false
  })
  source.addEventListener('line', (message) => {
    lastEventId = message.lastEventId
    show(JSON.parse(message.data))
  })
  source.addEventListener('gap', (message) => {
    lastEventId = message.lastEventId
    beginAgain(JSON.parse(message.data))
  })
  source.addEventListener('end', ({ data }) => {
    source.close()
    const { state } = JSON.parse(data)
    append(`line ${state}`, `Build ${build} ${ENDS[state]}`)
    setBuild(ENDS[state])
  })
  source.addEventListener('error', () => {
    const isGone = source.readyState === EventSource.CLOSED && log === source
    if (isGone) setTimeout(() => log === source && follow(lastEventId), RETRY_MS)
  })
}

function setBuild(text) {
  const isRunning = text === 'is running'
  page.build.textContent = `${build} ${text}`
  page.start.disabled = isRunning
  page.stop.disabled = !isRunning
}

function show(line) {
  if (line.number !== lastNumber + 1) append('mark bad', missingText(line.number))
  else if (isBack) append('mark', `Reconnected: goes on with line ${number.format(line.number)}`)
  isBack = false
  lastNumber = line.number
  append('line', line.text, line.number)
  page.received.textContent = number.format(++received)
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
