import { connect, type Socket } from 'node:net'
import { ResponseReceiver } from '../receiver.ts'
import { EVENTS, type Received } from '../run-log.ts'
import { now } from './clock.ts'
import { LAST_SENT } from './setup.ts'

/** How a client reads a stream, and how it leaves. */
export interface Plan {
  readonly leave: 'reset' | 'destroy' | 'end'
  /** In which it leaves, whatever comes first; bytes may end in the middle of anything. */
  readonly leaveAfterMs: number
  readonly leaveAfterBytes: number
  readonly stopAfterMs: number
  readonly stopForMs: number
  /** How long it rests after each piece that it reads. */
  readonly restMs: number
}

/** The client's end of a stream: a socket, and what was received until it was given up. */
export class ClientStream {
  readonly number: number
  readonly resumedFrom: string | undefined
  readonly receiver: ResponseReceiver
  readonly closed: Promise<void>
  /** Resolves when the last message has come, or none will. */
  readonly done: Promise<void>
  hasCaughtUp = false
  #tellDone: () => void = () => {}
  readonly #socket: Socket
  #plan: Plan | undefined
  #timers: NodeJS.Timeout[] = []
  #bytes = 0
  #hasLeft = false
  /** Whether it has dropped bytes, so that what follows them is no stream any more. */
  #isDeaf = false

  constructor(target: number | string, request: string, number: number, resumedFrom: string | undefined) {
    this.number = number
    this.resumedFrom = resumedFrom
    this.receiver = new ResponseReceiver({ resumedFrom, momentOf: now })
    this.#socket = typeof target === 'number' ? connect(target, '127.0.0.1') : connect(target)
    this.#socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.#socket.on('error', () => {})
    this.closed = new Promise((resolve) => this.#socket.on('close', () => resolve()))
    this.done = new Promise((resolve) => {
      this.#tellDone = resolve
    })
    void this.closed.then(() => {
      this.#clear()
      this.#tellDone()
    })
    this.#socket.write(request)
  }

  follow(plan: Plan): void {
    this.#plan = plan
    this.#after(plan.leaveAfterMs, () => this.leave(plan.leave))
    this.#after(plan.stopAfterMs, () => {
      this.#socket.pause()
      this.#after(plan.stopForMs, () => this.#socket.resume())
    })
  }

  /** From now on it reads everything, and stays. */
  settle(): void {
    this.#plan = undefined
    this.#clear()
    this.#socket.resume()
  }

  leave(how: Plan['leave']): void {
    this.#hasLeft = how !== 'end'
    if (how === 'reset' && this.#socket.remoteAddress !== undefined) this.#socket.resetAndDestroy()
    else if (how === 'end') this.#socket.end()
    else this.#socket.destroy()
  }

  #read(bytes: Buffer): void {
    if (this.#hasLeft || this.#isDeaf) return
    const { leave = 'end', leaveAfterBytes = Infinity, restMs = 0 } = this.#plan ?? {}
    const left = leaveAfterBytes - this.#bytes
    this.#bytes += bytes.length
    this.#take(left < bytes.length ? bytes.subarray(0, Math.max(0, left)) : bytes)
    this.#isDeaf = left < bytes.length
    if (this.#isDeaf) this.leave(leave)
    else if (restMs > 0) this.#rest(restMs)
  }

  #rest(ms: number): void {
    this.#socket.pause()
    this.#after(ms, () => this.#socket.resume())
  }

  #take(bytes: Buffer): void {
    const { receiver } = this
    const before = receiver.received.length
    receiver.feed(bytes)
    this.hasCaughtUp ||= receiver.received.slice(before).some(isLast)
    if (this.hasCaughtUp || receiver.refusal !== undefined) this.#tellDone()
    // The stream ended as it should; its socket could take another request.
    if (receiver.isEnded) this.#socket.end()
  }

  #after(ms: number, act: () => void): void {
    if (ms !== Infinity) this.#timers.push(setTimeout(act, ms))
  }

  #clear(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = []
  }
}

function isLast({ event, data }: Received): boolean {
  return event === EVENTS.sent && data === LAST_SENT
}
