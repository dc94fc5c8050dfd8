import { randomBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Contestant, Stream } from './contestant.ts'

export interface UnicastOptions {
  /** To each stream. */
  sends: number
  dataBytes: number
  /** At most one send per stream and turn of the event loop. */
  isPaced: boolean
}

export interface FloodOptions {
  bytes: number
  /** How much of them is sent before the event loop gets a turn. */
  turnBytes: number
}

export interface FloodResult {
  growthBytes: number
  isGone: boolean
  reason: string | undefined
}

export interface ShutdownOptions {
  /** Bytes that this process is to hold for each stream with `?stalled`. */
  pendingBytes: number
  /** Events that each other stream is sent just before the server closes. */
  events: number
  dataBytes: number
}

export interface ShutdownResult {
  closeMs: number
  /** Streams with `?stalled` for which bytes were pending. */
  stalled: number
  error: string | undefined
}

export interface StallOptions {
  /** What ends meanwhile, if anything. */
  ending?: 'streams' | 'server' | undefined
  durationMs: number
}

const EVENT_BYTES = 1_000
const RSS_EVERY_BYTES = 250_000
const AFTERMATH_MS = 1_000
const FILL_MS = 300

export function dataOf(bytes: number): string {
  return 'x'.repeat(bytes)
}

/** Sends to all streams at the same time, and waits for what each send returns. */
export async function unicast(streams: readonly Stream[], options: UnicastOptions): Promise<void> {
  const data = dataOf(options.dataBytes)
  const turns = new Turns()
  await Promise.all(streams.map((stream) => sendTimes(stream, data, options, turns)))
}

async function sendTimes(
  stream: Stream,
  data: string,
  { sends, isPaced }: UnicastOptions,
  turns: Turns
): Promise<void> {
  for (let i = 0; i < sends; i++) {
    const sent = stream.send(data)
    if (sent !== undefined) await sent
    if (isPaced) await turns.next()
  }
}

/** One `setImmediate` per turn for all who wait for the next one, so that pacing itself costs little. */
class Turns {
  #next: Promise<void> | undefined

  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined
        resolve()
      })
    })
    return this.#next
  }
}

/** Sends to one stream without ever waiting. No two events share memory. */
export async function flood(stream: Stream, { bytes, turnBytes }: FloodOptions): Promise<FloodResult> {
  const before = process.memoryUsage.rss()
  let highest = before
  for (let sent = 0; sent < bytes; sent += EVENT_BYTES) {
    sendCarelessly(stream, randomBytes(EVENT_BYTES / 2).toString('hex'))
    if (sent % RSS_EVERY_BYTES < EVENT_BYTES) highest = Math.max(highest, process.memoryUsage.rss())
    if (sent % turnBytes >= turnBytes - EVENT_BYTES) await nextTurn()
  }
  highest = Math.max(highest, process.memoryUsage.rss())
  await sleep(AFTERMATH_MS)
  return { growthBytes: highest - before, isGone: stream.isGone, reason: stream.reason }
}

function sendCarelessly(stream: Stream, data: string): void {
  if (stream.sendCarelessly === undefined) void stream.send(data)
  else stream.sendCarelessly(data)
}

/** Lets bytes pile up for the stalled streams, sends to the others, and closes the server in the same turn. */
export async function shutdown(
  streams: readonly Stream[],
  close: () => Promise<unknown>,
  { pendingBytes, events, dataBytes }: ShutdownOptions
): Promise<ShutdownResult> {
  const stalled = streams.filter((stream) => stream.url.includes('stalled'))
  const data = dataOf(dataBytes)
  await Promise.all(stalled.map((stream) => pileUp(stream, pendingBytes)))
  for (const stream of streams) if (!stalled.includes(stream)) sendAtOnce(stream, data, events)
  const before = performance.now()
  const error = await close().then(
    () => undefined,
    (reason: unknown) => String(reason)
  )
  const closeMs = performance.now() - before
  return { closeMs, stalled: stalled.length, error }
}

/** Sends until so many bytes are held for the client. */
async function pileUp(stream: Stream, pendingBytes: number): Promise<void> {
  const data = dataOf(50_000)
  while (stream.bufferedBytes < pendingBytes && !stream.isGone) {
    void stream.send(data)
    await sleep(1)
  }
}

/** Sends until the system takes nothing any more, for which a while is waited. */
export async function fillUp(stream: Stream): Promise<void> {
  do {
    await pileUp(stream, 1)
    await sleep(FILL_MS)
  } while (stream.bufferedBytes === 0 && !stream.isGone)
}

function sendAtOnce(stream: Stream, data: string, events: number): void {
  for (let i = 0; i < events; i++) void stream.send(data)
}

/** @returns for how many milliseconds the event loop stood still at most. */
export async function longestStall(
  contestant: Contestant,
  { ending, durationMs }: StallOptions
): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  await sleep(FILL_MS)
  delays.reset()
  const over = sleep(durationMs)
  if (ending === 'streams') contestant.closeStreams?.()
  if (ending === 'server') await contestant.close()
  await over
  delays.disable()
  return delays.max / 1e6
}
