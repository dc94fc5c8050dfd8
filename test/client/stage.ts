import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import eventStream, { type EventStreamOptions, type SSEConnection } from '../../lib/index.ts'
import { bundle } from './bundle.ts'
import type { Engine, Tab } from './engine.ts'
import { Line } from './line.ts'
import type { Recording } from './recorder.ts'

type Answer = (request: FastifyRequest, reply: FastifyReply) => unknown

const PAGE =
  '<!doctype html><title>client</title><link rel="icon" href="data:,"><script type="module" src="/recorder.js"></script>'
/** Times are short, so that nobody waits for them. */
const PLUGIN: EventStreamOptions = { retryMs: [1, 1], heartbeatMs: 50 }

/** What was asked of the server, pages apart. */
interface Asked {
  readonly method: string
  readonly url: string
  readonly lastEventId: string | undefined
  readonly authorization: string | undefined
  readonly body: unknown
}

/** A stream that is open in a tab. */
export class Stream {
  readonly #tab: Tab
  readonly #expression: string

  constructor(tab: Tab, index: number) {
    this.#tab = tab
    this.#expression = `tab.at(${index})`
  }

  /** What it has told, as soon as this holds of it: an expression of `data`, `events`, `states`, `reason` and so on. */
  async until(test: string): Promise<Recording> {
    const names = 'data, events, states, causes, reason, failure, failures, farewell'
    const text = await this.#tab.evaluate(
      `${this.#expression}.until(({ ${names} }) => ${test}).then(JSON.stringify)`
    )
    return JSON.parse(String(text)) as Recording
  }

  async count(count: number): Promise<Recording> {
    return await this.until(`data.length >= ${count}`)
  }

  async ended(): Promise<Recording> {
    return await this.until('reason !== undefined')
  }

  async close(): Promise<void> {
    await this.#tab.evaluate(`${this.#expression}.stream.close()`)
  }
}

/** A server behind a line, and an engine before it. */
export class Stage {
  readonly engine: Engine
  readonly line: Line
  app: FastifyInstance = Fastify()
  readonly asked: Asked[] = []
  /** Those of the server that runs now. */
  streams: SSEConnection[] = []
  /** What was published: what a client must have. */
  readonly published: string[] = []
  /** How the next requests are answered. Those that come later are given the channel. */
  readonly answers: Answer[] = []
  readonly #tabs: Tab[] = []
  readonly port: number
  #waiters: (() => void)[] = []

  private constructor(engine: Engine, line: Line) {
    this.engine = engine
    this.line = line
    this.port = line.port
  }

  static async open(engine: Engine): Promise<Stage> {
    const stage = new Stage(engine, await Line.open())
    await stage.start()
    return stage
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(plugin: EventStreamOptions = {}): Promise<void> {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(eventStream, { ...PLUGIN, ...plugin })
    app.get('/page', (_request, reply) => reply.type('text/html').send(PAGE))
    app.get('/recorder.js', async (_request, reply) => reply.type('text/javascript').send(await recorder()))
    app.route({
      method: ['GET', 'POST'],
      url: '/stream',
      handler: (request, reply) => this.#answer(request, reply)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    this.app = app
    this.streams = []
    this.line.upstream = (app.server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const tab of this.#tabs) await tab.close()
    await this.line.close().catch(() => {})
    await this.app.close()
  }

  /** Nothing of the server is left; its port refuses. */
  async stop(): Promise<void> {
    await this.line.close()
    await this.app.close()
  }

  async restart(plugin: EventStreamOptions = {}): Promise<void> {
    await this.start(plugin)
    await this.line.reopen(this.port)
  }

  async newTab(): Promise<Tab> {
    const tab = await this.engine.newTab(this.origin)
    this.#tabs.push(tab)
    return tab
  }

  /** Opens `/stream` in a tab. @param options their source text. */
  async open(
    options = '{}',
    { tab, opener = 'openEventStream' }: { tab?: Tab; opener?: string } = {}
  ): Promise<Stream> {
    const where = tab ?? (await this.newTab())
    const call = `tab.open('${opener}', '${this.origin}/stream', { retryMs: 5, ...${options} })`
    return new Stream(where, (await where.evaluate(call)) as number)
  }

  /** Publishes so many numbered messages. */
  async publish(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const data = `message ${this.published.length}`
      this.published.push(data)
      await this.app.sse.channel('news').publish({ event: 'news', data })
    }
  }

  /** Resolves when there were so many requests for streams. */
  async untilAsked(count: number): Promise<void> {
    await this.#until(() => this.asked.length >= count)
  }

  /** Resolves when so many streams are subscribed. */
  async untilListening(count: number): Promise<void> {
    await this.#until(() => this.app.sse.channel('news').size >= count)
  }

  async #until(test: () => boolean): Promise<void> {
    while (!test()) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  #answer(request: FastifyRequest, reply: FastifyReply): unknown {
    const { method, url, headers, body } = request
    const { authorization } = headers
    this.asked.push({ method, url, lastEventId: headers['last-event-id']?.toString(), authorization, body })
    const answered = (this.answers.shift() ?? this.listen)(request, reply)
    for (const wake of this.#waiters.splice(0)) wake()
    return answered
  }

  /** A stream of the channel. */
  readonly listen: Answer = (_request, reply) => {
    const sse = reply.sseStart()
    this.streams.push(sse)
    sse.send({ retry: 5 })
    this.app.sse.channel('news').subscribe(sse)
  }
}

let bundled: Promise<Uint8Array> | undefined
function recorder(): Promise<Uint8Array> {
  bundled ??= bundle('./recorder.ts')
  return bundled
}
