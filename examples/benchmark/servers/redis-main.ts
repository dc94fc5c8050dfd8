import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import eventStream, { redisStore } from '../../../lib/index.ts'
import { clockMs, STAMP_LENGTH, stamp } from '../process/clock.ts'
import { type DelaySummary, Delays } from '../process/delays.ts'
import { serve } from '../process/rpc.ts'
import { LISTEN, portOf } from './contestant.ts'

/** How a message is published: by the plugin, or by what one would write oneself. */
export type Way = 'ours' | 'bare PUBLISH' | 'bare XADD and PUBLISH'

export interface SteadyOptions {
  way: Way
  perSecond: number
  messages: number
  dataBytes: number
}

interface Running {
  readonly app: FastifyInstance
  readonly client: Awaited<ReturnType<typeof connect>>
}

const NAME = 'news'
const BARE_NAME = 'bare:news'
const LOG_TRIM = { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: 1_000 } } as const
const POLL_MS = 5
const arrivals = new Delays()
let running: Running

function connect(url: string) {
  return createClient({ url }).connect()
}

function publish(way: Way, data: string): Promise<unknown> {
  const { app, client } = running
  if (way === 'ours') return app.sse.channel(NAME).publish(data)
  const published = client.publish(BARE_NAME, data)
  if (way === 'bare PUBLISH') return published
  return Promise.all([client.xAdd('bare:log', '*', { data }, LOG_TRIM), published])
}

function arrived(data: string): void {
  arrivals.add(clockMs() - Number(data.slice(0, STAMP_LENGTH)))
}

async function readOurs(): Promise<void> {
  for await (const item of running.app.sse.channel(NAME).read({ from: 'now' })) {
    if (item.type === 'gap') throw new Error(`There is a gap: ${item.reason}`)
    arrived(item.data)
  }
}

/** A server that shares a Redis with others: what the runner may ask of it. */
const methods = {
  async listen(url: string): Promise<number> {
    const app = Fastify()
    await app.register(eventStream, { history: { store: redisStore({ url }) } })
    app.get('/', (_request, reply) => void app.sse.channel(NAME).subscribe(reply.sseStart()))
    await app.listen(LISTEN)
    running = { app, client: await connect(url) }
    return portOf(app)
  },
  /** Takes what is published from now on. */
  async receive(way: Way): Promise<void> {
    if (way === 'ours') {
      void readOurs()
      return
    }
    const subscriber = await running.client.duplicate().connect()
    await subscriber.subscribe(BARE_NAME, arrived)
  },
  /** Waits until so many have come. @returns how long they were under way. */
  async received(messages: number): Promise<DelaySummary> {
    while (arrivals.summary().count < messages) await sleep(POLL_MS)
    const summary = arrivals.summary()
    arrivals.reset()
    return summary
  },
  async publishSteadily({ way, perSecond, messages, dataBytes }: SteadyOptions): Promise<void> {
    const published: Promise<unknown>[] = []
    const start = performance.now()
    while (published.length < messages) {
      await sleep(1)
      const due = Math.min(messages, ((performance.now() - start) * perSecond) / 1_000)
      while (published.length < Math.floor(due)) published.push(publish(way, stamp().padEnd(dataBytes, 'x')))
    }
    await Promise.all(published)
  }
}

export type RedisMethods = typeof methods

serve(methods)
