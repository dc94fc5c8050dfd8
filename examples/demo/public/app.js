import { duration, Plots } from './plots.js'

const ROWS = 130
/** How long a stream of two readings a second may be silent before it is taken for dead. */
const SILENCE_MS = 5_000
/** When to try again where an EventSource does not: after an answer such as a proxy's 502, and after silence. */
const RETRY_MS = 2_000
const LOG_LINES = 30

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')

/** What the plots show. The rows stay where they are across reconnects. */
const timeline = {
  rows: [],
  periodMs: 500,
  isLive: () => state === 'live',
  /** The server's time: that of the last reading, and without a connection as this machine's clock goes on. */
  now: () => (timeline.rows.at(-1)?.time ?? 0) + (timeline.isLive() ? 0 : performance.now() - lastArrival)
}

let source
let plots
let machine
let state = 'connecting'
let stateSince = performance.now()
let lastArrival = performance.now()
let hasBeenLive = false
let replaysToCome = 0
let received = 0
let replayed = 0

page.curl.textContent = `curl -N ${location.origin}/vital-signs`
page.copy.addEventListener('click', copyCommand)
page.cut.addEventListener('click', () => fetch(`/cut/${page.cut.value}`, { method: 'POST' }))
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots?.recolor())
setInterval(tick, 250)
connect()

/** A new page asks for all readings that the server has; an EventSource that comes back sends its `Last-Event-ID`. */
function connect() {
  source = new EventSource(`/vital-signs?lastEventId=${timeline.rows.at(-1)?.time ?? 0}`)
  source.addEventListener('welcome', ({ data }) => sourceOnWelcome(JSON.parse(data)))
  source.addEventListener('vitals', ({ data, lastEventId }) => sourceOnVitals(JSON.parse(data), lastEventId))
  source.addEventListener('shutdown', ({ data }) => log('bad', data))
  source.addEventListener('error', sourceOnError)
}

function sourceOnWelcome(welcome) {
  log('good', hasBeenLive ? resumption(welcome) : 'Connected')
  if (hasBeenLive) replayed += welcome.replayed
  replaysToCome = welcome.replayed
  page.cut.value = welcome.viewer
  page.replayed.textContent = number.format(replayed)
  showMachine(welcome)
}

function sourceOnVitals(signs, lastEventId) {
  const { rows } = timeline
  const isReplayed = replaysToCome > 0
  if (signs.time <= (rows.at(-1)?.time ?? 0)) rows.length = 0
  rows.push({ ...signs, isReplayed: isReplayed && hasBeenLive })
  if (rows.length > ROWS) rows.shift()
  lastArrival = performance.now()
  if (isReplayed) {
    replaysToCome--
  } else {
    hasBeenLive = true
    setState('live')
  }
  received++
  page.received.textContent = number.format(received)
  page['last-id'].textContent = lastEventId
  page.viewers.textContent = number.format(signs.streams)
  page['viewers-unit'].textContent = signs.streams === 1 ? 'viewer' : 'viewers'
  plots.draw()
  beat()
}

function sourceOnError() {
  if (state === 'live') log('bad', 'Connection lost')
  if (hasBeenLive) setState('reconnecting')
  if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
}

/** What came of a reconnection, in one line. */
function resumption(welcome) {
  const away = duration(performance.now() - stateSince)
  if (welcome.replayed > 0) {
    return `Resumed after ${away}: ${welcome.replayed} ${welcome.replayed === 1 ? 'reading' : 'readings'} replayed`
  }
  if (welcome.machine.startedAt !== machine.startedAt)
    return `Resumed after ${away}: the server was restarted`
  return `Resumed after ${away}`
}

function setState(next) {
  if (state === next) return
  state = next
  stateSince = performance.now()
  document.documentElement.dataset.state = state
  page.state.textContent = { live: 'Live', reconnecting: 'Reconnecting' }[state]
  page.cut.disabled = state !== 'live'
  tick()
}

/** Keeps what depends on the time of day right, and notices a stream that died without a word. */
function tick() {
  if (state === 'live') {
    page.since.textContent = ''
    if (performance.now() - lastArrival < SILENCE_MS) return
    source.close()
    sourceOnError()
  } else {
    page.since.textContent = duration(performance.now() - stateSince)
    plots?.draw()
  }
}

/** One beat of the dot for each reading. */
function beat() {
  if (document.hidden || matchMedia('(prefers-reduced-motion: reduce)').matches) return
  page.dot.animate({ transform: ['scale(1.45)', 'scale(1)'] }, { duration: 380, easing: 'ease-out' })
}

function showMachine(welcome) {
  const before = machine
  machine = welcome.machine
  timeline.periodMs = welcome.periodMs
  const cores = `${machine.cores} ${machine.cores === 1 ? 'core' : 'cores'}`
  const memory = `${Math.round(machine.memory / 2 ** 30)} GiB`
  page.machine.textContent = [machine.model, cores, memory, `Node.js ${machine.node}`].join(' · ')
  if (before?.cores === machine.cores && before.memory === machine.memory) return
  plots?.destroy()
  timeline.rows.length = 0
  plots = new Plots(machine, timeline)
}

function log(kind, text) {
  const time = document.createElement('time')
  time.textContent = new Date().toLocaleTimeString('en-GB')
  const line = document.createElement('span')
  line.className = kind
  line.textContent = text
  const item = document.createElement('li')
  item.append(time, line)
  page.log.prepend(item)
  while (page.log.childElementCount > LOG_LINES) page.log.lastElementChild.remove()
}

/** Without a secure context there is no clipboard: then the command is selected. */
async function copyCommand() {
  try {
    await navigator.clipboard.writeText(page.curl.textContent)
    page.copy.textContent = 'Copied'
    setTimeout(() => {
      page.copy.textContent = 'Copy'
    }, 1_500)
  } catch {
    getSelection().selectAllChildren(page.curl)
  }
}
