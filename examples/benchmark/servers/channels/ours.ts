import { subscribe } from 'node:diagnostics_channel'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { redisHistory } from '../../../../lib/history/redis/redis-history.ts'
import eventStream from '../../../../lib/index.ts'
import type { Channel, Subscription } from '../../../../lib/types.ts'
import { LISTEN } from '../contestant.ts'
import { OurStream } from '../ours.ts'
import { RedisCalls } from '../redis/calls.ts'
import { fillUp } from '../workloads.ts'
import { type ChannelContestant, type ChannelStartOptions, PLAIN_ANSWER, PLAIN_PATH } from './contestant.ts'

export async function start(options: ChannelStartOptions): Promise<ChannelContestant> {
  const { redisUrl } = options
  const app = Fastify()
  const redisCalls = new RedisCalls()
  const given =
    redisUrl === undefined ? {} : { history: redisHistory({ client: redisCalls.client(redisUrl) }) }
  await app.register(eventStream, given)
  const channels = new OurChannels(app, options, redisCalls)
  app.get(PLAIN_PATH, async () => PLAIN_ANSWER)
  app.get('/', (request, reply) => channels.open(request, reply))
  return channels
}

class OurChannels implements ChannelContestant {
  readonly redisCalls: RedisCalls
  readonly #app: FastifyInstance
  readonly #channels: readonly Channel[]
  readonly #subscriptions: readonly Subscription[][]
  /** The last cursor of each channel that was published to and may not have been written. */
  readonly #published = new Map<number, Promise<string>>()
  #opened = 0

  constructor(app: FastifyInstance, { channels }: ChannelStartOptions, redisCalls: RedisCalls) {
    this.redisCalls = redisCalls
    this.#app = app
    this.#channels = Array.from({ length: channels }, (_, i) => app.sse.channel(`channel-${i}`))
    this.#subscriptions = this.#channels.map(() => [])
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
    const index = this.#opened++ % this.#channels.length
    const isFull = url === '/?fill'
    const connection = reply.sseStart(isFull ? { stallMs: false } : {})
    if (isFull) await fillUp(new OurStream(url, connection))
    this.#subscriptions[index]?.push(this.#channel(index).subscribe(connection))
  }

  publish(data: string, channel: number): void {
    this.#published.set(channel, this.#channel(channel).publish(data))
  }

  async written(): Promise<void> {
    for (const [index, cursor] of this.#published) {
      await reached(this.#subscriptions[index]?.at(-1), await cursor)
    }
    this.#published.clear()
  }

  async keep(data: string, messages: number): Promise<string> {
    const cursor = await this.#channel(0).publish(data)
    for (let i = 0; i < messages; i++) await this.#channel(0).publish(data)
    return cursor
  }

  stuck(): number {
    return this.#subscriptions.flat().filter(({ connection }) => connection.bufferedBytes > 0).length
  }

  watchSlices(sliceOnEnd: (durationMs: number) => void): void {
    subscribe('fastify-eventstream:flush', (event) =>
      sliceOnEnd((event as { durationMs: number }).durationMs)
    )
  }

  #channel(index: number): Channel {
    const channel = this.#channels[index]
    if (channel === undefined) throw new Error(`There is no channel ${index}`)
    return channel
  }
}

/**
 * Resolves when the last of the subscriptions has been written the message with this cursor, which is after all others
 * whose clients read: asking each of them would cost what is not ours. It asks once per turn, as the flush writes, but does
 * not keep the event loop turning for a client that is behind.
 */
async function reached(subscription: Subscription | undefined, cursor: string): Promise<void> {
  while (subscription?.active && subscription.cursor !== cursor) {
    await (subscription.connection.bufferedBytes === 0 ? nextTurn() : sleep(1))
  }
}
