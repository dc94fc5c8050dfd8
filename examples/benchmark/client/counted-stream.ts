import { createHash, type Hash } from 'node:crypto'
import { connect, type OnReadOpts, type Socket } from 'node:net'
import type { Stamps } from './stamps.ts'

const LF = 10
const COLON = 58
const TRICKLE_MS = 1_000
/** What streams read into. Nothing is kept of it, so that one will do for all. */
const READ_BUFFER = Buffer.alloc(65_536)
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
  /** Brought as if the client came back. */
  lastEventId: string | undefined
  /** `true` reads nothing after the response's head, `never` not even that, `trickle` one byte per second. */
  stall: boolean | 'never' | 'trickle'
  /** Whether a digest of the body is kept. */
  digest: boolean
  /** Gets the times in messages. */
  stamps: Stamps | undefined
}

/**
 * One event stream on a raw socket. It understands HTTP/1.1 heads and chunks, and counts the blank lines that end
 * events, comments aside, without building a string or an object for any of them.
 */
export class CountedStream {
  readonly socket: Socket
  readonly #totals: Totals
  readonly #onProgress: () => void
  readonly #hash: Hash | undefined
  readonly #stall: StreamOptions['stall']
  readonly #stamps: Stamps | undefined
  #part: 'head' | 'size' | 'chunk' | 'chunkEnd' | 'raw' | 'done' = 'head'
  #head = ''
  #chunkBytes = 0
  /** 0 where a block begins. */
  #lastByte = 0
  #isComment = false

  constructor(
    { port, path, lastEventId, stall, digest, stamps }: StreamOptions,
    totals: Totals,
    onProgress: () => void
  ) {
    this.#totals = totals
    this.#onProgress = onProgress
    this.#stall = stall
    this.#hash = digest ? createHash('sha1') : undefined
    this.#stamps = stamps
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: this.#reading() })
    const resume = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n${resume}\r\n`)
    this.socket.on('error', () => {})
    this.socket.on('close', () => this.#onClose())
    if (stall === 'never') this.socket.pause()
    if (stall === 'trickle') this.#trickle()
  }

  /** The digest of the body so far. */
  digest(): string {
    return this.#hash?.copy().digest('hex') ?? ''
  }

  get isComplete(): boolean {
    return this.#part === 'done'
  }

  /** Reads by itself rather than by `data` events, for which Node makes a buffer each. */
  #reading(): OnReadOpts {
    const isTrickling = this.#stall === 'trickle'
    const buffer = isTrickling ? Buffer.alloc(1) : READ_BUFFER
    const callback = (bytes: number): boolean => {
      this.#onData(buffer.subarray(0, bytes))
      return !isTrickling
    }
    return { buffer, callback }
  }

  #trickle(): void {
    const timer = setInterval(() => this.socket.resume(), TRICKLE_MS)
    this.socket.on('close', () => clearInterval(timer))
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
      if (last === 0) this.#isComment = byte === COLON
      if (isBlankLine && !this.#isComment) events++
      last = isBlankLine ? 0 : byte
    }
    this.#lastByte = last
    this.#totals.events += events
    this.#totals.bytes += end - start
    this.#hash?.update(data.subarray(start, end))
    this.#stamps?.take(data, start, end)
  }
}

function hexDigit(byte: number): number {
  return byte < 58 ? byte - 48 : (byte | 32) - 87
}
