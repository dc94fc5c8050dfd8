import { colors, niceTop, shortNumber } from './plots.js'

/** The plots of a machine's vital signs. */
export const vitalSigns = [
  {
    id: 'cpu',
    series: ({ cores }) => [
      ...Array.from({ length: cores > 1 ? cores : 0 }, (_, core) => ({
        color: () => coreColor(core, cores),
        width: cores > 16 ? 0.75 : 1.25
      })),
      { color: () => colors.cpu, width: 2, fill: true }
    ],
    columns: ({ cores }) => [...(cores.length > 1 ? cores : []), average(cores)].map((load) => load * 100),
    top: () => 100,
    tick: (value) => `${value}%`,
    value: ({ cores }) => [percent(average(cores)), '%'],
    detail: ({ cores }) => (cores.length > 1 ? `average of ${cores.length} cores` : 'one core'),
    showMore: ({ cores }) => showCores(cores),
    hasLabels: true
  },
  {
    id: 'memory',
    series: () => [{ color: () => colors.memory, width: 1.75, fill: true }],
    columns: ({ memory }, machine) => [(memory / machine.memory) * 100],
    top: () => 100,
    tick: (value) => `${value}%`,
    value: ({ memory }) => [gibibytes(memory), 'GiB'],
    detail: ({ ownMemory }, machine) =>
      `of ${gibibytes(machine.memory)}, this server ${Math.round(ownMemory / 2 ** 20)} MiB`
  },
  {
    id: 'delay',
    series: () => [
      { color: () => `${colors.delay}80`, width: 1 },
      { color: () => colors.delay, width: 1.75, fill: true }
    ],
    columns: ({ delay }) => [delay.max, delay.mean],
    top: (max) => niceTop(max, 2),
    tick: (value) => `${value}`,
    value: ({ delay }) => [delay.mean.toFixed(delay.mean < 10 ? 2 : 0), 'ms'],
    detail: ({ delay }) => `worst ${delay.max.toFixed(delay.max < 10 ? 1 : 0)} ms`
  },
  {
    id: 'streams',
    series: () => [{ color: () => colors.streams, width: 1.75, fill: true, isStepped: true }],
    columns: ({ streams }) => [streams],
    top: (max) => niceTop(max, 4),
    tick: shortNumber,
    value: ({ streams }) => [streams.toLocaleString('en'), ''],
    detail: ({ streams, viewers }) =>
      streams === viewers ? 'every viewer is one' : `${streams - viewers} of them for metrics`
  },
  {
    id: 'events',
    series: () => [{ color: () => colors.events, width: 1.75, fill: true }],
    columns: ({ eventsPerSecond }) => [eventsPerSecond],
    top: (max) => niceTop(max, 4),
    tick: shortNumber,
    value: ({ eventsPerSecond }) => [Math.round(eventsPerSecond).toLocaleString('en'), '/s'],
    detail: ({ published, delivered }) =>
      `${published.toLocaleString('en')} readings, delivered ${delivered.toLocaleString('en')} times`
  }
]

/** Cores go from blue to pink, however many there are. */
function coreHue(core, count) {
  return Math.round(205 + (115 * core) / Math.max(1, count - 1))
}

function coreColor(core, count) {
  const alpha = count > 16 ? 0.4 : 0.7
  return `hsl(${coreHue(core, count)} ${colors['core-saturation']} ${colors['core-lightness']} / ${alpha})`
}

function average(cores) {
  return cores.reduce((sum, load) => sum + load, 0) / Math.max(1, cores.length)
}

function percent(share) {
  return `${Math.round(share * 100)}`
}

function gibibytes(bytes) {
  return (bytes / 2 ** 30).toFixed(1)
}

function showCores(cores) {
  const list = document.getElementById('cores')
  if (list.childElementCount !== (cores.length > 1 ? cores.length : 0)) buildCores(list, cores.length)
  for (const [core, item] of [...list.children].entries()) {
    item.style.setProperty('--load', cores[core])
    item.lastElementChild.textContent = `${percent(cores[core])}%`
  }
}

function buildCores(list, count) {
  list.classList.toggle('dense', count > 16)
  list.style.setProperty('--columns', Math.min(count, 32))
  list.replaceChildren(
    ...Array.from({ length: count > 1 ? count : 0 }, (_, core) => {
      const item = document.createElement('li')
      item.style.setProperty('--hue', coreHue(core, count))
      item.append(
        Object.assign(document.createElement('span'), { textContent: `core ${core}` }),
        document.createElement('b')
      )
      return item
    })
  )
}
