import { createHash, type Hash } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const LF = 10
const HEAD_END = '\r\n\r\n'

/** What all streams of a client received together. */
export interface Totals {
  connections: number
  heads: number
  events: number
  bytes: number
  /** Streams whose response ended as HTTP says it must. */
  complete: number
  closed: number
}

export interface StreamOptions {
  port: number
  path: string
  /** `true` reads nothing after the response's head, `never` not even that. */
  stall: boolean | 'never'
  /** Whether a digest of the body is kept. */
  digest: boolean
}

/**
 * One event stream on a raw socket. It understands HTTP/1.1 heads and chunks, and counts the blank lines that end
 * events, without building a string or an object for any of them.
 */
export class CountedStream {
  readonly socket: Socket
  readonly #totals: Totals
  readonly #onProgress: () => void
  readonly #hash: Hash | undefined
  readonly #stall: boolean | 'never'
  #part: 'head' | 'size' | 'chunk' | 'chunkEnd' | 'raw' | 'done' = 'head'
  #head = ''
  #chunkBytes = 0
  #lastByte = 0

  constructor({ port, path, stall, digest }: StreamOptions, totals: Totals, onProgress: () => void) {
    this.#totals = totals
    this.#onProgress = onProgress
    this.#stall = stall
    this.#hash = digest ? createHash('sha1') : undefined
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`)
    this.socket.on('error', () => {})
    this.socket.on('close', () => this.#onClose())
    if (stall === 'never') this.socket.pause()
    else this.socket.on('data', (data) => this.#onData(data))
  }

  /** The digest of the body so far. */
  digest(): string {
    return this.#hash?.copy().digest('hex') ?? ''
  }

  get isComplete(): boolean {
    return this.#part === 'done'
  }

  #onClose(): void {
    this.#totals.closed++
    this.#onProgress()
  }

  #onData(data: Buffer): void {
    let position = 0
    while (position < data.length) position = this.#step(data, position)
    this.#onProgress()
  }

  #step(data: Buffer, position: number): number {
    switch (this.#part) {
      case 'head':
        return this.#takeHead(data, position)
      case 'size':
        return this.#takeSize(data, position)
      case 'chunk':
        return this.#takeChunk(data, position)
      case 'chunkEnd':
        if (data[position] === LF) this.#part = 'size'
        return position + 1
      case 'raw':
        this.#takeBody(data, position, data.length)
        return data.length
      case 'done':
        return data.length
    }
  }

  #takeHead(data: Buffer, position: number): number {
    const before = this.#head.length
    this.#head += data.toString('latin1', position)
    const end = this.#head.indexOf(HEAD_END)
    if (end === -1) return data.length
    if (!this.#head.startsWith('HTTP/1.1 200')) throw new Error(this.#head.slice(0, end))
    this.#part = /^transfer-encoding: chunked/im.test(this.#head) ? 'size' : 'raw'
    this.#head = ''
    this.#totals.heads++
    if (this.#stall === true) this.socket.pause()
    return position + end + HEAD_END.length - before
  }

  #takeSize(data: Buffer, position: number): number {
    const byte = data[position] ?? 0
    if (byte === LF) {
      this.#part = this.#chunkBytes === 0 ? 'done' : 'chunk'
      if (this.#chunkBytes === 0) this.#totals.complete++
    } else if (byte > 32) {
      this.#chunkBytes = this.#chunkBytes * 16 + hexDigit(byte)
    }
    return position + 1
  }

  #takeChunk(data: Buffer, position: number): number {
    const end = Math.min(data.length, position + this.#chunkBytes)
    this.#takeBody(data, position, end)
    this.#chunkBytes -= end - position
    if (this.#chunkBytes === 0) this.#part = 'chunkEnd'
    return end
  }

  #takeBody(data: Buffer, start: number, end: number): void {
    let last = this.#lastByte
    let events = 0
    for (let i = start; i < end; i++) {
      const byte = data[i] ?? 0
      const isBlankLine = byte === LF && last === LF
      if (isBlankLine) events++
      last = isBlankLine ? 0 : byte
    }
    this.#lastByte = last
    this.#totals.events += events
    this.#totals.bytes += end - start
    this.#hash?.update(data.subarray(start, end))
  }
}

function hexDigit(byte: number): number {
  return byte < 58 ? byte - 48 : (byte | 32) - 87
}
