import { subscribe } from 'node:diagnostics_channel'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import eventStream, { type Channel, redisStore, type SSEConnection } from '../../../../lib/index.ts'
import { LISTEN } from '../contestant.ts'
import { OurStream } from '../ours.ts'
import { fillUp } from '../workloads.ts'
import { type ChannelContestant, type ChannelStartOptions, PLAIN_ANSWER, PLAIN_PATH } from './contestant.ts'

export async function start(options: ChannelStartOptions): Promise<ChannelContestant> {
  const app = Fastify()
  const { redisUrl } = options
  await app.register(
    eventStream,
    redisUrl === undefined ? {} : { history: { store: redisStore({ url: redisUrl }) } }
  )
  const channels = new OurChannels(app, options)
  app.get(PLAIN_PATH, async () => PLAIN_ANSWER)
  app.get('/', (request, reply) => channels.open(request, reply))
  return channels
}

class OurChannels implements ChannelContestant {
  readonly #app: FastifyInstance
  readonly #channels: readonly Channel[]
  readonly #connections: readonly SSEConnection[][]
  readonly #channelsEach: number
  readonly #hasOwn: boolean
  /** What may be on its way to a store. */
  #publishing: Promise<unknown>[] = []
  /** Of each channel that was published to: how many messages its last connection is to have. */
  readonly #due = new Map<number, number>()
  #opened = 0

  constructor(app: FastifyInstance, { channels, channelsEach, hasOwn }: ChannelStartOptions) {
    this.#app = app
    this.#channels = Array.from({ length: channels }, (_, i) => app.sse.channel(`channel-${i}`))
    this.#connections = this.#channels.map(() => [])
    this.#channelsEach = channelsEach
    this.#hasOwn = hasOwn
  }

  get server() {
    return this.#app.server
  }

  listen(): Promise<unknown> {
    return this.#app.listen(LISTEN)
  }

  close(): Promise<unknown> {
    return this.#app.close()
  }

  connections(): number {
    return this.#app.sse.connections.size
  }

  /** `/?fill` subscribes a client only when it takes nothing more, and keeps it for as long as it likes. */
  async open({ url }: FastifyRequest, reply: FastifyReply): Promise<void> {
    const number = this.#opened++
    const indexes = Array.from(
      { length: this.#channelsEach },
      (_, i) => (number * this.#channelsEach + i) % this.#channels.length
    )
    const isFull = url === '/?fill'
    const connection = reply.sseStart(isFull ? { stallMs: false } : {})
    if (isFull) await fillUp(new OurStream(url, connection))
    const names = indexes.map((index) => this.#channel(index).name)
    this.#app.sse.subscribe(connection, this.#hasOwn ? [...names, `own-${number}`] : names)
    for (const index of indexes) this.#connections[index]?.push(connection)
  }

  publish(data: string, channel: number): void {
    const due = this.#due.get(channel) ?? this.#lastOf(channel)?.messages ?? 0
    this.#due.set(channel, due + 1)
    this.#publishing.push(this.#channel(channel).publish(data))
  }

  async written(): Promise<void> {
    await Promise.all(this.#publishing.splice(0))
    for (const [channel, due] of this.#due) await reached(this.#lastOf(channel), due)
    this.#due.clear()
  }

  async keep(data: string, messages: number): Promise<string> {
    const cursor = await this.#channel(0).publish(data)
    const all = (messages * this.#channels.length) / this.#channelsEach
    for (let i = 0; i < all; i++) await this.#channel(i % this.#channels.length).publish(data)
    // None of them is the newest place, so that all clients are told theirs.
    await this.cursors(1)
    await this.#app.sse.cursor()
    return cursor
  }

  async cursors(count: number): Promise<string[]> {
    const cursors: string[] = []
    while (cursors.length < count) cursors.push(await this.#app.sse.channel('elsewhere').publish('x'))
    return cursors
  }

  stuck(): number {
    return this.#connections.flat().filter(({ bufferedBytes }) => bufferedBytes > 0).length
  }

  watchSlices(sliceOnEnd: (durationMs: number) => void): void {
    subscribe('fastify-eventstream:flush', (event) =>
      sliceOnEnd((event as { durationMs: number }).durationMs)
    )
  }

  #lastOf(channel: number): SSEConnection | undefined {
    return this.#connections[channel]?.at(-1)
  }

  #channel(index: number): Channel {
    const channel = this.#channels[index]
    if (channel === undefined) throw new Error(`There is no channel ${index}`)
    return channel
  }
}

/**
 * Resolves when the last of the connections has so many messages, which is after all others whose clients read: asking
 * each of them would cost what is not ours. It asks once per turn, as the flush writes, but does not keep the event loop
 * turning for a client that is behind.
 */
async function reached(connection: SSEConnection | undefined, messages: number): Promise<void> {
  while (connection?.reason === undefined && (connection?.messages ?? messages) < messages) {
    await (connection?.bufferedBytes === 0 ? nextTurn() : sleep(1))
  }
}
