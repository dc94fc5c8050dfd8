import { duration, Plots } from './plots.js'
import { vitalSigns } from './vital-signs.js'

const ROWS = 130
/** How long a stream of two readings a second may be silent before it is taken for dead. */
const SILENCE_MS = 5_000
/** When to try again where an EventSource does not: after an answer such as a proxy's 502, and after silence. */
const RETRY_MS = 2_000
const LOG_LINES = 30
const GAPS = {
  unknown: 'The server was restarted: readings are missing',
  expired: 'Away for too long: readings are missing',
  slow: 'Too slow: readings are missing'
}

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
let lastEventId = ''
/** The server's time when the connection began: readings of before are replayed. */
let welcomeTime = 0
let state = 'connecting'
let stateSince = performance.now()
let lastArrival = performance.now()
let hasBeenLive = false
let received = 0
let replayed = 0
/** Of these, those since the connection was lost. */
let justReplayed = 0
let gaps = 0

page.copy.addEventListener('click', copyCommand)
page.cut.addEventListener('click', () => fetch(`cut/${page.cut.value}`, { method: 'POST' }))
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots?.recolor())
setInterval(tick, 250)
connect()

/** An EventSource that comes back sends its last id by itself; a new one is given that of the last reading. */
function connect() {
  source = new EventSource(`vital-signs?lastEventId=${encodeURIComponent(lastEventId)}`)
  source.addEventListener('welcome', ({ data }) => sourceOnWelcome(JSON.parse(data)))
  source.addEventListener('gap', (event) => sourceOnGap(JSON.parse(event.data), event.lastEventId))
  source.addEventListener('vitals', (event) => sourceOnVitals(JSON.parse(event.data), event.lastEventId))
  source.addEventListener('shutdown', ({ data }) => log('bad', data))
  source.addEventListener('error', sourceOnError)
}

function sourceOnWelcome(welcome) {
  if (!hasBeenLive) log('good', 'Connected')
  welcomeTime = welcome.time
  justReplayed = 0
  page.cut.value = welcome.viewer
  showMachine(welcome)
}

function sourceOnGap({ reason }, id) {
  lastEventId = id
  gaps++
  page.gaps.textContent = number.format(gaps)
  log('bad', GAPS[reason] ?? 'Readings are missing')
}

function sourceOnVitals(signs, id) {
  const { rows } = timeline
  const isReplayed = signs.time <= welcomeTime
  lastEventId = id
  if (signs.time <= (rows.at(-1)?.time ?? 0)) rows.length = 0
  rows.push({ ...signs, isReplayed: isReplayed && hasBeenLive })
  if (rows.length > ROWS) rows.shift()
  lastArrival = performance.now()
  if (!isReplayed) goLive()
  else if (hasBeenLive) justReplayed++
  received++
  page.received.textContent = number.format(received)
  page['last-id'].textContent = id
  page.viewers.textContent = number.format(signs.viewers)
  page['viewers-unit'].textContent = signs.viewers === 1 ? 'viewer' : 'viewers'
  plots.draw()
  beat()
}

function goLive() {
  if (state === 'live') return
  if (hasBeenLive) log('good', resumption())
  replayed += justReplayed
  page.replayed.textContent = number.format(replayed)
  hasBeenLive = true
  setState('live')
}

function sourceOnError() {
  if (state === 'live') log('bad', 'Connection lost')
  if (hasBeenLive) setState('reconnecting')
  if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
}

/** What came of a reconnection, in one line. */
function resumption() {
  const away = duration(performance.now() - stateSince)
  if (justReplayed === 0) return `Resumed after ${away}`
  return `Resumed after ${away}: ${justReplayed} ${justReplayed === 1 ? 'reading' : 'readings'} replayed`
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
  plots = new Plots(vitalSigns, timeline, machine)
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
