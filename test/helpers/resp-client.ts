import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What Redis answered with an error, such as `WRONGTYPE …`. */
export class ReplyError extends Error {}

interface Waiter {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/**
 * The least of a Redis client: commands and their replies in RESP2, in order, on one connection that is not made anew.
 * Not for what is pushed (`SUBSCRIBE`, `MONITOR`): one command is one reply.
 */
export class RespClient {
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #waiters: Waiter[] = []
  #received: Buffer = Buffer.alloc(0)
  #error: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => {
      this.#error = error
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#closedError())
        resolve()
      })
    })
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RespClient> {
    const socket = connect({ port, host, noDelay: true })
    await once(socket, 'connect')
    return new RespClient(socket)
  }

  /**
   * Resolves with the reply: strings, integers as numbers, arrays, and `null`. An error inside an array is a
   * {@link ReplyError} in its place.
   *
   * @throws {@link ReplyError} the reply is an error.
   * @throws Error the connection ended before the reply.
   */
  command(...args: string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(this.#closedError())
      this.#waiters.push({ resolve, reject })
      this.#socket.write(encode(args))
    })
  }

  /** Ends the connection at once; commands without a reply reject. */
  async close(): Promise<void> {
    this.#socket.destroy()
    await this.closed
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    let at = 0
    for (;;) {
      const reply = parse(this.#received, at)
      if (reply === undefined) break
      at = reply.next
      const waiter = this.#waiters.shift()
      if (reply.value instanceof ReplyError) waiter?.reject(reply.value)
      else waiter?.resolve(reply.value)
    }
    this.#received = this.#received.subarray(at)
  }

  #closedError(): Error {
    return new Error('The connection to Redis is closed', { cause: this.#error })
  }
}

function encode(args: readonly string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`
}

interface Reply {
  readonly value: unknown
  readonly next: number
}

/** The reply that starts at `at`, and where the next one does; `undefined` while it is not there entirely. */
function parse(bytes: Buffer, at: number): Reply | undefined {
  const lineEnd = bytes.indexOf('\r\n', at)
  if (lineEnd === -1) return undefined
  const line = bytes.toString('utf8', at + 1, lineEnd)
  const next = lineEnd + 2
  const type = bytes.toString('latin1', at, at + 1)
  if (type === '+') return { value: line, next }
  if (type === '-') return { value: new ReplyError(line), next }
  if (type === ':') return { value: Number(line), next }
  if (line === '-1') return { value: null, next }
  return type === '*' ? parseArray(bytes, next, Number(line)) : parseBulkString(bytes, next, Number(line))
}

function parseBulkString(bytes: Buffer, at: number, length: number): Reply | undefined {
  const end = at + length
  return bytes.length < end + 2 ? undefined : { value: bytes.toString('utf8', at, end), next: end + 2 }
}

function parseArray(bytes: Buffer, at: number, length: number): Reply | undefined {
  const value: unknown[] = []
  let next = at
  while (value.length < length) {
    const item = parse(bytes, next)
    if (item === undefined) return undefined
    value.push(item.value)
    next = item.next
  }
  return { value, next }
}
