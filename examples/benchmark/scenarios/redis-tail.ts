import { clockMs } from '../process/clock.ts'
import type { RedisContestantName } from '../servers/redis-main.ts'
import { alternatingRounds, callsSince, subscribed, withRedis } from './redis.ts'
import {
  atLeast,
  atMost,
  type Client,
  type Context,
  compare,
  OURS,
  pick,
  type RedisPeer,
  type Row,
  type Scenario
} from './scenario.ts'

const CHANNELS = 100
const DATA_BYTES = 100
/** What Redis publishes of ours besides the data: ids, and the text around the data. The bare message is as long. */
const NOTICE_BYTES = 67
const BURST = 10_000
const BURSTS = { warmUps: 12, measured: 10 }
const STEADY = { perSecond: 5_000, messages: 5_000 }
const QUIET_MS = 300
const MIN_RATIO = 0.5
const MAX_READS = 0.1
/** Else Redis ends the connection of a subscriber that has a backlog. */
const REDIS_ARGS = ['--client-output-buffer-limit', 'pubsub 0 0 0']

const WITH_CLIENTS = 'ours, to a client per channel'
const BARE = 'bare SUBSCRIBE'
type Receiver = typeof OURS | typeof WITH_CLIENTS | typeof BARE
const KINDS: Record<Receiver, RedisContestantName> = {
  [OURS]: 'ours',
  [WITH_CLIENTS]: 'ours',
  [BARE]: 'bare node-redis'
}

interface Tail {
  perSecond: number
  livePerSecond: number
  burstCpuUs: number
  steadyCpuUs: number
  readsPerMessage: number
}

async function measureOnce(context: Context, receiver: Receiver): Promise<Tail> {
  const kind = KINDS[receiver]
  return withRedis(
    (redis) =>
      context.withRedisPeers(redis.url, [kind, kind], async (peers, client) => {
        const [from, to] = peers as [RedisPeer, RedisPeer]
        if (receiver === WITH_CLIENTS) {
          await client.call('open', { port: to.port, count: CHANNELS })
          await to.child.call('settled')
        } else {
          await to.child.call('follow', { channels: CHANNELS, isStamped: false })
        }
        await subscribed(redis, CHANNELS)
        return new Run(from, to, receiver === WITH_CLIENTS ? client : undefined, {
          channels: CHANNELS,
          dataBytes: receiver === BARE ? DATA_BYTES + NOTICE_BYTES : DATA_BYTES
        }).measure()
      }),
    REDIS_ARGS
  )
}

/** One publisher and one receiver. */
class Run {
  readonly #from: RedisPeer
  readonly #to: RedisPeer
  readonly #client: Client | undefined
  readonly #options: { channels: number; dataBytes: number }
  #sent = 0
  /** What clients got that are no messages: their place. */
  #surplus = 0

  constructor(
    from: RedisPeer,
    to: RedisPeer,
    client: Client | undefined,
    options: { channels: number; dataBytes: number }
  ) {
    this.#from = from
    this.#to = to
    this.#client = client
    this.#options = options
  }

  async measure(): Promise<Tail> {
    await this.#begin()
    for (let i = 0; i < BURSTS.warmUps; i++) await this.#burst()
    await this.#to.child.call('collectGarbage')
    const callsBefore = await this.#to.child.call('calls')
    let tookMs = 0
    const burstCpuUs = await this.#cpuOf(async () => {
      for (let i = 0; i < BURSTS.measured; i++) tookMs += await this.#burst()
    })
    const { READ = 0 } = callsSince(callsBefore, await this.#to.child.call('calls'))
    const livePerSecond = await this.#live()
    await this.#steady()
    const steadyCpuUs = await this.#cpuOf(() => this.#steady())
    const messages = BURST * BURSTS.measured
    return {
      perSecond: (messages / tookMs) * 1_000,
      livePerSecond,
      burstCpuUs: burstCpuUs / messages,
      steadyCpuUs: steadyCpuUs / STEADY.messages,
      readsPerMessage: READ / messages
    }
  }

  /** One message to each channel, after which no client is told its place any more. */
  async #begin(): Promise<void> {
    this.#sent = CHANNELS
    await this.#from.child.call('flood', { messages: CHANNELS, ...this.#options })
    if (this.#client === undefined) return
    const { events } = await this.#client.call('receive', { events: Number.MAX_SAFE_INTEGER }, QUIET_MS)
    this.#surplus = events - this.#sent
  }

  /**
   * The receiver is stopped while messages are published, which is slower than receiving them, and then takes them as fast
   * as it can. @returns how long it takes.
   */
  async #burst(): Promise<number> {
    const { child } = this.#to
    this.#sent += BURST
    child.pause()
    await this.#from.child.call('flood', { messages: BURST, ...this.#options })
    const reached = this.#reached()
    const start = clockMs()
    child.resume()
    return (await reached) - start
  }

  /** The publisher and Redis work at the same time. @returns messages per second. */
  async #live(): Promise<number> {
    this.#sent += BURST
    const start = clockMs()
    await this.#from.child.call('flood', { messages: BURST, ...this.#options })
    return (BURST / ((await this.#reached()) - start)) * 1_000
  }

  async #steady(): Promise<void> {
    this.#sent += STEADY.messages
    await this.#from.child.call('publishSteadily', { ...STEADY, ...this.#options })
    await this.#reached()
  }

  async #reached(): Promise<number> {
    if (this.#client === undefined) return this.#to.child.call('reached', this.#sent)
    const expected = this.#sent + this.#surplus
    const { events } = await this.#client.call('receive', { events: expected })
    if (events !== expected) throw new Error(`${events - expected} messages too many or few were delivered`)
    return clockMs()
  }

  async #cpuOf(work: () => Promise<void>): Promise<number> {
    const before = await this.#to.child.call('cpu')
    await work()
    return (await this.#to.child.call('cpu')) - before
  }
}

async function run(context: Context): Promise<Row[]> {
  const results = await alternatingRounds(context.rounds, [OURS, WITH_CLIENTS, BARE] as const, (receiver) =>
    measureOnce(context, receiver)
  )
  const rows = (measure: string, value: (tail: Tail) => number, limits = {}): Row[] =>
    compare({ measure, unit: 'µs' }, pick(results, value), limits)
  const limits = { [BARE]: 1 / MIN_RATIO }
  return [
    ...compare(
      { measure: 'messages per second out of a backlog', unit: '' },
      pick(results, ({ perSecond }) => perSecond)
    ).map((row) =>
      row.contestant === BARE ? { ...row, goal: atLeast(MIN_RATIO, row.ratios ?? [], '×') } : row
    ),
    ...compare(
      { measure: 'messages per second that the publisher is able to send', unit: '' },
      pick(results, ({ livePerSecond }) => livePerSecond)
    ),
    ...rows('CPU per message out of a backlog', ({ burstCpuUs }) => burstCpuUs, limits),
    ...rows(`CPU per message at ${STEADY.perSecond} per second`, ({ steadyCpuUs }) => steadyCpuUs),
    ...[...pick(results, ({ readsPerMessage }) => readsPerMessage)]
      .filter(([contestant]) => contestant !== BARE)
      .map(([contestant, samples]) => ({
        measure: 'reads from Redis per message out of a backlog',
        unit: '',
        contestant,
        samples,
        goal: atMost(MAX_READS, samples, 'per message')
      }))
  ]
}

export const redisTail: Scenario = {
  name: 'redis-tail',
  about: `a node takes messages of ${DATA_BYTES} bytes that another one publishes to ${CHANNELS} channels, ${BURST} at a time`,
  run
}
