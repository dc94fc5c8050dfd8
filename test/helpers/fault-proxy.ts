import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, Socket } from 'node:net'
import { setTimeout as setTimeoutPromise } from 'node:timers/promises'

type Direction = 'toServer' | 'toClient'

interface Target {
  readonly port: number
  /** @defaultValue `'127.0.0.1'` */
  readonly host?: string
}

/** What all connections share: the faults as they are now, and what they count together. */
interface Link {
  delayMs: number
  bytesPerSecond: number
  isBlackhole: boolean
  readonly isHeld: Record<Direction, boolean>
  readonly counts: Record<Direction, number>
  /** How many bytes may still pass before the connection that carries the last of them is cut. */
  readonly untilCut: Record<Direction, number>
}

/** From how many bytes that wait in one direction of a connection the sender is not read any more. */
const MAX_QUEUED_BYTES = 256 * 1024
/** How often is looked whether a receiver has read the last bytes before a cut. */
const READ_CHECK_MS = 10
/** Linux's: `index: local remote state unacknowledged:unread …`, all hexadecimal. */
const TCP_TABLE = '/proc/net/tcp'

/**
 * A TCP proxy that does to its connections what networks do. Faults hold for connections that are open and for those to
 * come, and may be combined; between faults it passes bytes, ends and resets as they are, in order. What is on its way
 * is bounded: past that, senders feel backpressure.
 *
 * ```
 *   client ──▶ queue ──▶ server      toServer
 *   client ◀── queue ◀── server      toClient
 * ```
 */
export class FaultProxy {
  readonly port: number
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #link: Link = {
    delayMs: 0,
    bytesPerSecond: Number.POSITIVE_INFINITY,
    isBlackhole: false,
    isHeld: { toServer: false, toClient: false },
    counts: { toServer: 0, toClient: 0 },
    untilCut: { toServer: Number.POSITIVE_INFINITY, toClient: Number.POSITIVE_INFINITY }
  }
  #target: Target
  #isRefusing = false

  private constructor(server: Server, target: Target) {
    this.port = (server.address() as AddressInfo).port
    this.#server = server
    this.#target = target
    server.on('connection', (socket) => this.#serverOnConnection(socket))
    server.on('error', () => {})
  }

  static async start(target: Target): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new FaultProxy(server, target)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** How many connections have a side that is open. */
  get connections(): number {
    return this.#connections.size
  }

  /** How many bytes, ends and resets have arrived and not passed. */
  get waiting(): number {
    let waiting = 0
    for (const connection of this.#connections) waiting += connection.waiting
    return waiting
  }

  /** The bytes passed so far, by direction. */
  get counts(): Readonly<Record<Direction, number>> {
    return this.#link.counts
  }

  /** Connections accepted from now on go there. */
  retarget(target: Target): void {
    this.#target = target
  }

  /** Whatever arrives is passed `ms` later, at the earliest. `0` turns it off, also for what is on its way. */
  delay(ms: number): void {
    this.#change({ delayMs: ms })
  }

  /** Each direction of each connection passes no more than this. `Infinity` turns it off. */
  throttle(bytesPerSecond: number): void {
    if (!(bytesPerSecond > 0)) throw new RangeError(`Expected more than 0 bytes/s, got ${bytesPerSecond}`)
    this.#change({ bytesPerSecond })
  }

  /**
   * While on, connections are accepted and stay open, but nothing passes: no bytes, no ends, no resets, and no new
   * connection gets to the server. All of it does, in order, when turned off.
   */
  blackhole(on: boolean): void {
    this.#change({ isBlackhole: on })
  }

  /** While on, nothing passes in one direction: what arrives waits. */
  hold(direction: Direction, on: boolean): void {
    this.#link.isHeld[direction] = on
    this.#change({})
  }

  /** While on, connections are accepted by the kernel, and reset at once. Open ones are left alone. */
  refuse(on: boolean): void {
    this.#isRefusing = on
  }

  /**
   * Lets pass that many more bytes, counted over all connections, then nothing on the connection that carried the last
   * of them, in either direction, and resets both its sides when the receiver has read exactly these bytes. Happens once; another call in the same direction replaces it, and `Infinity` takes it back.
   */
  cutAfter(bytes: number, direction: Direction): void {
    if (!(bytes >= 1) || bytes % 1 > 0) throw new RangeError(`Expected a count of 1 or more, got ${bytes}`)
    this.#link.untilCut[direction] = bytes
  }

  /** Resets both sides of every connection. What waits is lost. */
  cutAll(): void {
    for (const connection of this.#connections) connection.reset()
  }

  /** Ends all connections, and listens no more. May be called again. */
  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close()
    const connections = [...this.#connections]
    for (const connection of connections) connection.destroy()
    await Promise.all(connections.map((connection) => connection.closed))
  }

  #change(faults: Partial<Pick<Link, 'delayMs' | 'bytesPerSecond' | 'isBlackhole'>>): void {
    Object.assign(this.#link, faults)
    for (const connection of this.#connections) connection.proceed()
  }

  #serverOnConnection(socket: Socket): void {
    if (this.#isRefusing) {
      socket.on('error', () => {})
      socket.resetAndDestroy()
      return
    }
    const connection = new Connection(socket, this.#target, this.#link)
    this.#connections.add(connection)
    connection.closed.then(() => this.#connections.delete(connection))
    connection.proceed()
  }
}

class Connection {
  /** When neither side is open. */
  readonly closed: Promise<unknown>
  readonly #link: Link
  readonly #target: Target
  readonly #client: Socket
  readonly #upstream = new Socket({ allowHalfOpen: true })
  readonly #pipes: readonly Pipe[]
  #hasConnected = false

  constructor(client: Socket, target: Target, link: Link) {
    this.#link = link
    this.#target = target
    this.#client = client
    const upstream = this.#upstream
    const owner = { stop: (): void => this.#stop(), cut: (): void => this.reset() }
    this.#pipes = [
      new Pipe('toServer', client, upstream, link, owner),
      new Pipe('toClient', upstream, client, link, owner)
    ]
    this.closed = Promise.all([client, upstream].map(hasClosed))
  }

  /** Lets pass what may pass by now. */
  proceed(): void {
    if (!this.#hasConnected && !this.#link.isBlackhole) {
      this.#hasConnected = true
      const { port, host = '127.0.0.1' } = this.#target
      this.#upstream.connect({ port, host, noDelay: true })
    }
    for (const pipe of this.#pipes) pipe.proceed()
  }

  get waiting(): number {
    return this.#pipes.reduce((sum, pipe) => sum + pipe.waiting, 0)
  }

  reset(): void {
    this.#stop()
    for (const socket of [this.#client, this.#upstream]) reset(socket)
  }

  destroy(): void {
    this.#stop()
    this.#client.destroy()
    this.#upstream.destroy()
  }

  #stop(): void {
    for (const pipe of this.#pipes) pipe.stop()
  }
}

interface Owner {
  /** Lets nothing pass any more, in either direction. */
  readonly stop: () => void
  readonly cut: () => void
}

interface Queued {
  readonly what: Buffer | 'end' | 'reset'
  readonly arrivedAt: number
}

/** One direction of a connection. */
class Pipe {
  readonly #direction: Direction
  readonly #source: Socket
  readonly #sink: Socket
  readonly #link: Link
  readonly #owner: Owner
  readonly #queue: Queued[] = []
  #queuedBytes = 0
  /** When the last byte that passed would have, on a line of just the throttled speed. */
  #lineFreeAt = 0
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(direction: Direction, source: Socket, sink: Socket, link: Link, owner: Owner) {
    this.#direction = direction
    this.#source = source
    this.#sink = sink
    this.#link = link
    this.#owner = owner
    source.on('data', (bytes: Buffer) => this.#sourceOnData(bytes))
    source.on('end', () => this.#push('end'))
    source.on('error', () => this.#push('reset'))
    sink.on('connect', () => this.proceed())
    sink.on('drain', () => this.proceed())
    sink.on('close', () => this.stop())
  }

  get waiting(): number {
    return this.#queuedBytes + this.#queue.filter(({ what }) => typeof what === 'string').length
  }

  /** Passes what may pass after the faults or the sink have changed. A line that was blocked has not run ahead. */
  proceed(): void {
    this.#lineFreeAt = performance.now()
    this.#pump()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#queue.length = 0
    this.#source.pause()
  }

  #sourceOnData(bytes: Buffer): void {
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes >= MAX_QUEUED_BYTES) this.#source.pause()
    this.#push(bytes)
  }

  #push(what: Queued['what']): void {
    if (this.#isStopped) return
    this.#queue.push({ what, arrivedAt: performance.now() })
    if (this.#queue.length === 1) this.#pump()
  }

  #pump(): void {
    clearTimeout(this.#timer)
    for (let head = this.#queue[0]; head !== undefined && this.#canPass(); head = this.#queue[0]) {
      const bytes = this.#nextBytes(head)
      const readyAt = this.#readyAt(head, bytes)
      const waitMs = readyAt - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs))
        return
      }
      this.#lineFreeAt = readyAt
      this.#take(head, bytes)
      this.#pass(head, bytes)
    }
  }

  #canPass(): boolean {
    return (
      !this.#link.isBlackhole &&
      !this.#link.isHeld[this.#direction] &&
      !this.#sink.pending &&
      !this.#sink.writableNeedDrain
    )
  }

  /** No more than what is throttled to 10 ms, and none past a cut. */
  #nextBytes({ what }: Queued): Buffer {
    if (typeof what === 'string') return Buffer.alloc(0)
    const slice = Math.max(1, Math.floor(this.#link.bytesPerSecond / 100))
    return what.subarray(0, Math.min(slice, this.#link.untilCut[this.#direction]))
  }

  #readyAt({ arrivedAt }: Queued, bytes: Buffer): number {
    const startsAt = Math.max(arrivedAt + this.#link.delayMs, this.#lineFreeAt)
    return startsAt + (bytes.length / this.#link.bytesPerSecond) * 1000
  }

  #take({ what, arrivedAt }: Queued, bytes: Buffer): void {
    if (typeof what === 'string' || what.length === bytes.length) this.#queue.shift()
    else this.#queue[0] = { what: what.subarray(bytes.length), arrivedAt }
    this.#queuedBytes -= bytes.length
    if (this.#queuedBytes < MAX_QUEUED_BYTES) this.#source.resume()
  }

  #pass({ what }: Queued, bytes: Buffer): void {
    const { counts, untilCut } = this.#link
    if (what === 'end') {
      this.#sink.end()
      return
    }
    if (what === 'reset') {
      reset(this.#sink)
      return
    }
    counts[this.#direction] += bytes.length
    untilCut[this.#direction] -= bytes.length
    if (untilCut[this.#direction] > 0) {
      this.#sink.write(bytes)
      return
    }
    untilCut[this.#direction] = Number.POSITIVE_INFINITY
    this.#owner.stop()
    this.#sink.write(bytes, () => untilRead(this.#sink).then(this.#owner.cut))
  }
}

function hasClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('close', () => resolve())
  })
}

/**
 * Resolves when the peer has read what was written, or there is nobody to read it. A reset must wait for that: it purges what the kernel has not sent
 * yet, and where it is there together with the last bytes, libuv tells the peer of an end instead (uv__stream_io,
 * "Short-circuit iff POLLHUP is polled").
 */
async function untilRead(socket: Socket): Promise<void> {
  do await setTimeoutPromise(READ_CHECK_MS)
  while (!socket.destroyed && !hasBeenRead(socket))
}

/** What Linux tells of both ends of a connection on 127.0.0.1. Elsewhere, there was one {@link READ_CHECK_MS} to read. */
function hasBeenRead({ localPort = 0, remotePort = 0 }: Socket): boolean {
  const table = existsSync(TCP_TABLE) ? readFileSync(TCP_TABLE, 'latin1') : ''
  const [here, there] = [localPort, remotePort].map(
    (port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  )
  const unacknowledged = new RegExp(`${here} ${there} .. (\\w+):`).exec(table)
  const unread = new RegExp(`${there} ${here} .. \\w+:(\\w+)`).exec(table)
  return [unacknowledged, unread].every((match) => Number.parseInt(match?.[1] ?? '0', 16) === 0)
}

/** What was ended cannot be reset: Node would report that as an error, and never close the socket. */
function reset(socket: Socket): void {
  if (socket.pending || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
