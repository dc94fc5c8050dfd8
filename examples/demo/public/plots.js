import uPlot from './uplot/uPlot.esm.js'

/** How far back the plots go. */
const WINDOW_S = 60

/** The page's colours, as the colour scheme has them now. */
export let colors = readColors()

/**
 * Plots with a common time. They draw what `rows` has when they are told, at most once per frame, while they are seen.
 *
 * `kinds` says for each plot what it shows of a reading; its last series is the one that its value is of. `timeline` is
 * `{ rows, periodMs, now(), isLive() }`; a row is a reading, with `isReplayed` if it came late.
 */
export class Plots {
  #kinds
  #machine
  #timeline
  #plots
  #frame = 0
  #resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (isSeen(target)) this.#plotIn(target)?.setSize(sizeOf(target))
    this.draw()
  })

  constructor(kinds, timeline, machine) {
    this.#kinds = kinds
    this.#machine = machine
    this.#timeline = timeline
    this.#plots = kinds.map((kind) => {
      const element = document.getElementById(kind.id)
      this.#resized.observe(element)
      return new uPlot(this.#options(kind, element), [[]], element)
    })
  }

  /** Draws in the next frame; a page that is not seen has none. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0
      if (!isSeen(this.#plots[0].root.parentElement)) return
      for (const [index, kind] of this.#kinds.entries()) this.#plots[index].setData(this.#columns(kind))
      this.#showValues()
    })
  }

  recolor() {
    colors = readColors()
    for (const plot of this.#plots) plot.redraw(false)
  }

  destroy() {
    cancelAnimationFrame(this.#frame)
    this.#resized.disconnect()
    for (const plot of this.#plots) plot.destroy()
  }

  #plotIn(element) {
    return this.#plots?.find(({ root }) => root.parentElement === element)
  }

  /** uPlot wants columns, and a `null` where the line is to be broken. */
  #columns(kind) {
    const { rows, periodMs } = this.#timeline
    const columns = [[], ...kind.series(this.#machine).map(() => [])]
    let before
    for (const row of rows) {
      if (before !== undefined && isGap(before, row, periodMs)) {
        columns[0].push((before.time + 1) / 1_000)
        for (const column of columns.slice(1)) column.push(null)
      }
      columns[0].push(row.time / 1_000)
      const values = kind.columns(row, this.#machine)
      for (const [index, value] of values.entries()) columns[index + 1]?.push(value)
      before = row
    }
    return columns
  }

  #showValues() {
    const { rows } = this.#timeline
    const left = this.#plots[0].cursor.left ?? -1
    const at = left < 0 ? undefined : this.#plots[0].posToVal(left, 'x') * 1_000
    const row = at === undefined ? rows.at(-1) : nearest(rows, at)
    if (row === undefined) return
    const isPast = row !== rows.at(-1)
    for (const { id, value, detail, showMore } of this.#kinds) {
      const [number, unit] = value(row)
      const small = Object.assign(document.createElement('small'), { textContent: unit })
      document.getElementById(`${id}-value`).replaceChildren(number, small)
      document.getElementById(`${id}-detail`).textContent = isPast
        ? `${duration(rows.at(-1).time - row.time)} ago`
        : detail(row, this.#machine)
      showMore?.(row)
    }
  }

  #options(kind, element) {
    const { now } = this.#timeline
    return {
      ...sizeOf(element),
      padding: [6, 14, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: false, y: false },
        sync: { key: this.#kinds[0].id }
      },
      scales: {
        x: { range: () => [now() / 1_000 - WINDOW_S, now() / 1_000] },
        y: { range: (_plot, _min, max) => [0, kind.top(max ?? 0)] }
      },
      axes: axesOf(kind),
      series: [{}, ...kind.series(this.#machine).map(seriesOptions)],
      hooks: {
        drawClear: [(plot) => this.#drawAbsences(plot, kind)],
        draw: [drawHead],
        setCursor: [(plot) => plot === this.#plots?.[0] && this.#showValues()]
      }
    }
  }

  /** Hatches the time for which there are no readings, and tints the readings that came by replay. */
  #drawAbsences(plot, { hasLabels }) {
    const { rows, periodMs, now, isLive } = this.#timeline
    for (const [index, row] of rows.entries()) {
      const before = rows[index - 1]
      if (before === undefined) continue
      if (isGap(before, row, periodMs)) {
        const label = hasLabels && `${duration(row.time - before.time)} missing`
        drawSpan(plot, before.time, row.time, hatch(plot.ctx), label)
      }
      if (row.isReplayed && !before.isReplayed) {
        const after = rows.findIndex((other, at) => at > index && !other.isReplayed)
        const last = rows.at(after === -1 ? -1 : after - 1)
        drawSpan(plot, before.time, last.time, `${colors.accent}22`, hasLabels && 'replayed')
      }
    }
    const last = rows.at(-1)
    if (last !== undefined && !isLive())
      drawSpan(plot, last.time, now(), hatch(plot.ctx), hasLabels && 'no connection')
  }
}

function readColors() {
  const style = getComputedStyle(document.documentElement)
  const names = ['accent', 'muted', 'line', 'hatch', 'cpu', 'memory', 'delay', 'streams', 'events', 'gaps']
  const shades = ['core-saturation', 'core-lightness']
  return Object.fromEntries(
    [...names, ...shades].map((name) => [name, style.getPropertyValue(`--${name}`).trim()])
  )
}

/** Whether readings are missing between two that follow each other. */
function isGap(before, row, periodMs) {
  return row.time - before.time > 2.5 * periodMs
}

function nearest(rows, time) {
  return rows.reduce((best, row) => (Math.abs(row.time - time) < Math.abs(best.time - time) ? row : best))
}

function isSeen({ clientWidth }) {
  return clientWidth > 0
}

function sizeOf({ clientWidth, clientHeight }) {
  return { width: clientWidth, height: clientHeight }
}

/** The time goes by under labels that stand still. */
function axesOf({ hasLabels, tick }) {
  const parts = hasLabels ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1]
  const axis = {
    stroke: () => colors.muted,
    grid: { stroke: () => colors.line, width: 1 },
    ticks: { show: false },
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    gap: 6
  }
  return [
    {
      ...axis,
      size: 22,
      splits: timeSplits,
      values: ({ scales }, splits) => splits.map((split) => timeLabel(split - scales.x.max))
    },
    {
      ...axis,
      size: 40,
      splits: ({ scales }) => parts.map((part) => part * scales.y.max),
      values: (_plot, splits) => splits.map(tick)
    }
  ]
}

function seriesOptions({ color, width, fill, isStepped }) {
  return {
    stroke: color,
    width,
    points: { show: false },
    ...(isStepped && { paths: uPlot.paths.stepped({ align: -1 }) }),
    ...(fill && { fill: (plot) => fade(plot, color()) })
  }
}

function fade({ ctx, bbox }, color) {
  const gradient = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + Math.max(1, bbox.height))
  gradient.addColorStop(0, `${color}47`)
  gradient.addColorStop(1, `${color}08`)
  return gradient
}

/** A dot where the last series has got to. */
function drawHead(plot) {
  const times = plot.data[0]
  const index = plot.data.length - 1
  const value = index > 0 ? plot.data[index].at(-1) : undefined
  if (typeof value !== 'number') return
  const { ctx } = plot
  ctx.save()
  ctx.fillStyle = plot.series[index].stroke(plot, index)
  ctx.beginPath()
  const [x, y] = [plot.valToPos(times.at(-1), 'x', true), plot.valToPos(value, 'y', true)]
  ctx.arc(x, y, 3 * devicePixelRatio, 0, 2 * Math.PI)
  ctx.fill()
  ctx.restore()
}

function drawSpan(plot, from, to, fill, label) {
  const { ctx, bbox } = plot
  const left = Math.max(bbox.left, plot.valToPos(from / 1_000, 'x', true))
  const right = Math.min(bbox.left + bbox.width, plot.valToPos(to / 1_000, 'x', true))
  if (!(right > left)) return
  ctx.save()
  ctx.fillStyle = fill
  ctx.fillRect(left, bbox.top, right - left, bbox.height)
  ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`
  if (label && ctx.measureText(label).width + 12 * devicePixelRatio < right - left) {
    ctx.fillStyle = colors.muted
    ctx.textAlign = 'center'
    ctx.fillText(label, (left + right) / 2, bbox.top + 16 * devicePixelRatio)
  }
  ctx.restore()
}

function hatch(ctx) {
  const size = Math.round(7 * devicePixelRatio)
  const tile = Object.assign(document.createElement('canvas'), { width: size, height: size })
  const pen = tile.getContext('2d')
  pen.strokeStyle = colors.hatch
  pen.lineWidth = devicePixelRatio
  pen.beginPath()
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1)
    pen.lineTo(shift + size + 1, -1)
  }
  pen.stroke()
  return ctx.createPattern(tile, 'repeat')
}

function timeSplits({ scales, bbox }) {
  const step = bbox.width / devicePixelRatio < 420 ? 20 : 10
  const count = WINDOW_S / step + 1
  return Array.from({ length: count }, (_, index) => scales.x.max - WINDOW_S + index * step)
}

function timeLabel(offset) {
  return Math.round(offset) === 0 ? 'now' : `−${Math.abs(Math.round(offset))} s`
}

/** The top of a scale that leaves room above `max` and does not change with every reading: 2, 4, 10, 20, 40, 100 … */
export function niceTop(max, least) {
  let top = least
  while (top <= max) top *= String(top).startsWith('4') ? 2.5 : 2
  return top
}

export function shortNumber(value) {
  return value < 1_000 ? `${value}` : `${value / 1_000}k`
}

/** A duration, as exact as one wants it at that length. */
export function duration(ms) {
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`
  return ms < 120_000 ? `${Math.round(ms / 1_000)} s` : `${Math.floor(ms / 60_000)} min`
}
