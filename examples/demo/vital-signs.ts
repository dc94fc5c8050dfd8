import os from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { EventStreamStats } from '../../lib/index.ts' // 'fastify-eventstream' in your project

/** How this machine and this process were between two looks at them. */
export interface VitalSigns {
  /** When they were read: milliseconds since the epoch, which never go back while the process lives. */
  readonly time: number
  /** How busy each core was, from 0 to 1. */
  readonly cores: readonly number[]
  /** Bytes of the machine's memory that are in use. */
  readonly memory: number
  /** Bytes of it that are this process's. */
  readonly ownMemory: number
  /** Milliseconds by which the event loop's timers were late: on average, and at worst. */
  readonly delay: { readonly mean: number; readonly max: number }
  /** Streams that are open now. */
  readonly streams: number
  /** Readings that were published since the process started. */
  readonly published: number
  /** Of these, those that were written to streams, once for each. */
  readonly delivered: number
  /** Messages that were sent per second, to all streams together. */
  readonly eventsPerSecond: number
}

/** What does not change while the process lives. */
export interface Machine {
  readonly model: string
  readonly cores: number
  readonly memory: number
  readonly node: string
}

export const machine: Machine = {
  model: os.cpus()[0]?.model.trim() || os.arch(),
  cores: os.cpus().length,
  memory: os.totalmem(),
  node: process.version
}

/** How often the event loop is looked at. The histogram counts this time itself as part of each delay. */
const RESOLUTION_MS = 10

/** Reads vital signs. Each reading covers the time since the one before, or since `start()`. */
export class VitalSignsReader {
  readonly #stats: () => EventStreamStats
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #time = 0
  #ticks: readonly CoreTicks[] = []
  #messages = 0

  constructor(stats: () => EventStreamStats) {
    this.#stats = stats
  }

  start(): void {
    this.#delay.enable()
    this.read()
  }

  stop(): void {
    this.#delay.disable()
  }

  /** The time that a reading of now would have. */
  now(): number {
    return Math.round(performance.timeOrigin + performance.now())
  }

  read(): VitalSigns {
    const time = this.now()
    const ticks = os.cpus().map(coreTicks)
    const { connections, published, delivered, messages } = this.#stats()
    const signs = {
      time,
      cores: ticks.map((now, core) => busyShare(this.#ticks[core], now)),
      memory: os.totalmem() - os.freemem(),
      ownMemory: process.memoryUsage.rss(),
      delay: { mean: lateness(this.#delay.mean), max: lateness(this.#delay.max) },
      streams: connections,
      published,
      delivered,
      eventsPerSecond: round(((messages - this.#messages) * 1_000) / Math.max(1, time - this.#time), 1)
    }
    this.#time = time
    this.#ticks = ticks
    this.#messages = messages
    this.#delay.reset()
    return signs
  }
}

interface CoreTicks {
  readonly idle: number
  readonly all: number
}

function coreTicks({ times }: os.CpuInfo): CoreTicks {
  return { idle: times.idle, all: times.user + times.nice + times.sys + times.irq + times.idle }
}

/** A core that was not there before, or whose clock did not move, counts as idle. */
function busyShare(before: CoreTicks | undefined, now: CoreTicks): number {
  if (before === undefined || now.all <= before.all) return 0
  const idle = (now.idle - before.idle) / (now.all - before.all)
  return round(Math.min(1, Math.max(0, 1 - idle)), 3)
}

/** Nanoseconds as the histogram has them, in milliseconds of lateness. An empty histogram has no mean. */
function lateness(nanoseconds: number): number {
  return round(Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) || 0, 2)
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
