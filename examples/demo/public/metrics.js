import { colors, niceTop, Plots, shortNumber } from './plots.js'

const ROWS = 70
/** How long a stream of one reading a second may be silent before it is taken for dead. */
const SILENCE_MS = 5_000
/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000

const kinds = [
  {
    id: 'connections',
    series: () => [{ color: () => colors.streams, width: 1.75, fill: true, isStepped: true }],
    columns: ({ connections }) => [connections],
    top: (max) => niceTop(max, 4),
    tick: shortNumber,
    value: ({ connections }) => [connections.toLocaleString('en'), ''],
    detail: ({ opened }) => `${opened.toLocaleString('en')} since the server started`
  },
  {
    id: 'messages',
    series: () => [{ color: () => colors.events, width: 1.75, fill: true }],
    columns: ({ messagesPerSecond }) => [messagesPerSecond],
    top: (max) => niceTop(max, 4),
    tick: shortNumber,
    value: ({ messagesPerSecond }) => [rate(messagesPerSecond), '/s'],
    detail: () => 'to all streams together'
  },
  {
    id: 'bytes',
    series: () => [{ color: () => colors.memory, width: 1.75, fill: true }],
    columns: ({ bytesPerSecond }) => [bytesPerSecond],
    top: (max) => niceTop(max, 1_000),
    tick: shortNumber,
    value: ({ bytesPerSecond }) =>
      bytesPerSecond < 1_000 ? [rate(bytesPerSecond), 'B/s'] : [rate(bytesPerSecond / 1_000), 'kB/s'],
    detail: ({ bytesPerSecond, messagesPerSecond }) =>
      messagesPerSecond > 0
        ? `${Math.round(bytesPerSecond / messagesPerSecond)} bytes per message`
        : 'no message'
  },
  {
    id: 'slices',
    series: () => [{ color: () => colors.delay, width: 1.75, fill: true }],
    columns: ({ longestSliceMs }) => [longestSliceMs],
    top: (max) => niceTop(max, 1),
    tick: (value) => `${value}`,
    value: ({ longestSliceMs }) => [longestSliceMs.toFixed(longestSliceMs < 10 ? 2 : 0), 'ms'],
    detail: ({ slicesPerSecond }) => `of ${rate(slicesPerSecond)} flushes per second`
  },
  {
    id: 'losses',
    series: () => [{ color: () => colors.gaps, width: 1.75, fill: true, isStepped: true }],
    columns: ({ gaps }) => [gaps],
    top: (max) => niceTop(max, 4),
    tick: shortNumber,
    value: ({ gaps }) => [gaps.toLocaleString('en'), ''],
    detail: ({ evictions }) => `${evictions.toLocaleString('en')} too slow, since the server started`
  }
].map((kind) => ({ ...kind, hasLabels: true }))

const panel = document.getElementById('panel-metrics')

/** What the plots show. The rows stay where they are while another tab is seen, and what was missed is replayed. */
const timeline = {
  rows: [],
  periodMs: 1_000,
  isLive: () => isLive,
  now: () => (timeline.rows.at(-1)?.time ?? 0) + (isLive ? 0 : performance.now() - lastArrival)
}

let source
let plots
let timer
let lastEventId = ''
let lastArrival = 0
let isLive = false

panel.addEventListener('show', show)
panel.addEventListener('hide', hide)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots?.recolor())

function show() {
  plots ??= new Plots(kinds, timeline)
  timer = setInterval(tick, 250)
  connect()
}

/** Nobody looks: the stream ends, and the server has one less. */
function hide() {
  clearInterval(timer)
  source.close()
  isLive = false
}

/** An EventSource that comes back sends its last id by itself; a new one is given that of the last reading. */
function connect() {
  lastArrival = performance.now()
  source = new EventSource(`metrics?lastEventId=${encodeURIComponent(lastEventId)}`)
  source.addEventListener('metrics', (event) => sourceOnMetrics(JSON.parse(event.data), event.lastEventId))
  source.addEventListener('error', sourceOnError)
}

function sourceOnMetrics(metrics, id) {
  const { rows } = timeline
  lastEventId = id
  if (metrics.time <= (rows.at(-1)?.time ?? 0)) rows.length = 0
  rows.push(metrics)
  if (rows.length > ROWS) rows.shift()
  lastArrival = performance.now()
  isLive = true
  plots.draw()
}

function sourceOnError() {
  isLive = false
  if (source.readyState !== EventSource.CLOSED) return
  const dead = source
  setTimeout(() => dead === source && !panel.hidden && connect(), RETRY_MS)
}

/** Lets the time go by while nothing comes, and notices a stream that died without a word. */
function tick() {
  if (!isLive) plots.draw()
  else if (performance.now() - lastArrival > SILENCE_MS) {
    source.close()
    isLive = false
    connect()
  }
}

function rate(value) {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 })
}
