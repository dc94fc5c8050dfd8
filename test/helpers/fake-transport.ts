import type { FastifyRequest } from 'fastify'
import { Connection, type ConnectionHost } from '../../lib/connection/connection.ts'
import type { Transport } from '../../lib/connection/transport/transport.ts'
import type { EventStreamOptions, StartOptions } from '../../lib/fastify/options.ts'
import { resolveOptions, resolveStartOptions } from '../../lib/fastify/resolved-options.ts'
import type { Batch } from '../../lib/wire/batch.ts'

/** A pipe in memory: it takes `capacity` bytes, and more only as the reader takes them with `read()`. */
class FakeTransport implements Transport {
  readonly writes: string[] = []
  /** Those of the writes that were batches. */
  readonly batches: Batch[] = []
  bufferedBytes = 0
  flushedBytes = 0
  ended: { reuse: boolean } | undefined
  started = false
  brokenOff = false
  destroyed = false
  capacity = Infinity

  get text(): string {
    return this.writes.join('')
  }

  write(data: string | Uint8Array): boolean {
    if (this.ended || this.brokenOff || this.destroyed) throw new Error('written after the end')
    if (data.length === 0) throw new Error('an empty chunk is the last one (RFC 9112, section 7.1)')
    this.writes.push(typeof data === 'string' ? data : Buffer.from(data).toString())
    const taken = Math.min(data.length, this.capacity)
    this.capacity -= taken
    this.flushedBytes += taken
    this.bufferedBytes += data.length - taken
    return this.bufferedBytes === 0
  }

  start(): void {
    this.started = true
  }

  writeBatch(batch: Batch): boolean {
    this.batches.push(batch)
    return this.write(batch.payload)
  }

  /** The reader takes bytes. @returns whether nothing is buffered any more. */
  read(bytes: number): boolean {
    const taken = Math.min(bytes, this.bufferedBytes)
    this.bufferedBytes -= taken
    this.flushedBytes += taken
    return this.bufferedBytes === 0
  }

  end(options: { reuse: boolean }): void {
    this.ended ??= options
    if (!options.reuse) this.ended = options
  }

  breakOff(): void {
    this.brokenOff = true
  }

  destroy(): void {
    this.destroyed = true
  }
}

/** A connection on a fake transport, with a clock that stands at 0 and a turn of the event loop that ends on demand. */
export class Bench implements ConnectionHost {
  readonly transport = new FakeTransport()
  readonly beforeHead = new FakeTransport()
  readonly logs: { level: string; message: string; err: unknown }[] = []
  readonly states: string[] = []
  readonly connection: Connection
  closing = false
  scheduled = 0

  constructor(options: EventStreamOptions & StartOptions = {}, request: object = {}) {
    const { expiresAt, context, ...plugin } = options
    const resolved = resolveStartOptions(resolveOptions(plugin))
    const log = (level: string) => (fields: { err: unknown }, message: string) => {
      this.logs.push({ level, message, err: fields.err })
    }
    const fake = {
      headers: {},
      query: {},
      raw: { rawHeaders: [] },
      log: { error: log('error'), warn: log('warn') },
      ...request
    }
    const own = { context, ...(expiresAt !== undefined && { expiresAt }) }
    const { beforeHead } = this
    this.connection = new Connection(fake as unknown as FastifyRequest, resolved, beforeHead, this, 0, own)
  }

  /** A bench whose connection is open. */
  static open(options?: EventStreamOptions & StartOptions, request?: object): Bench {
    const bench = new Bench(options, request)
    bench.connection.open(bench.transport)
    bench.endTurn()
    return bench
  }

  scheduleFlush(): void {
    this.scheduled++
  }

  connectionOnState(connection: Connection): void {
    this.states.push(connection.state)
  }

  /** Ends the turn of the event loop. */
  endTurn(): void {
    this.scheduled = 0
    while (this.connection.output.work());
  }

  /** The reader takes everything, and the transport says so. */
  drain(): void {
    this.transport.read(Infinity)
    this.connection.transportOnDrain()
  }
}
