/**
 * This machine's vital signs, live. Every viewer is one event stream, and all share one reader. Whoever looks at the metrics
 * of the streams themselves has a second one. Start it with `npx tsx examples/demo/server.ts`.
 */
import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import eventStream, { type AnyConnection } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import { type Metrics, MetricsReader } from './metrics.ts'
import { type Machine, machine, type VitalSigns, VitalSignsReader } from './vital-signs.ts'

const PERIOD_MS = 500
/** Metrics are read with every second reading. */
const READINGS_PER_METRICS = 2
/** What the page can show; a viewer who was away for less has missed nothing. */
const KEPT_MS = 60_000
const KEPT_METRICS = KEPT_MS / PERIOD_MS / READINGS_PER_METRICS
/** Readings for which nobody needs to be there before reading stops: time for a lone viewer to come back. */
const READ_ALONE = 20

interface Reading extends VitalSigns {
  /** Streams of vital signs, while `streams` are all. */
  viewers: number
}

/** What a viewer is told first, and alone. The readings of before `time` come by replay. */
interface Welcome {
  viewer: string
  machine: Machine
  periodMs: number
  time: number
}

export default async function dashboard(app: FastifyInstance): Promise<void> {
  await app.register(eventStream, {
    retryMs: [1_000, 2_000],
    farewell: (reason) => reason === 'shutdown' && { event: 'shutdown', data: 'The server is shutting down' }
  })

  const vitals = app.sse.channel<{ vitals: Reading }>('vitals', {
    maxAgeMs: KEPT_MS,
    onSubscribe: startReading
  })
  const metrics = app.sse.channel<{ metrics: Metrics }>('metrics', {
    maxAgeMs: KEPT_MS,
    onSubscribe: startReading
  })
  const reader = new VitalSignsReader(() => app.sse.stats())
  const metricsReader = new MetricsReader(
    () => app.sse.stats(),
    () => reader.now()
  )
  const viewers = new Map<string, AnyConnection>()
  let timer: NodeJS.Timeout | undefined
  let readings = 0
  /** Metrics that nobody was there to see. They are published when somebody is, who then has the past minute at once. */
  let unseen: Metrics[] = []
  let readAlone = 0

  app.get('/vital-signs', (_request, reply) => {
    const viewer = randomUUID()
    const sse = reply.sseStart<{ welcome: Welcome }>()
    viewers.set(viewer, sse)
    void sse.closed.then(() => viewers.delete(viewer))
    const welcome = { viewer, machine, periodMs: PERIOD_MS, time: reader.now() }
    sse.send({ event: 'welcome', data: welcome, retry: 2_000 })
    vitals.subscribe(sse, { from: 'oldest' })
  })

  app.get('/metrics', (_request, reply) => {
    const sse = reply.sseStart()
    sse.send({ retry: 2_000 })
    metrics.subscribe(sse, { from: 'oldest' })
  })

  /** Breaks a viewer's connection off as a bad network would, so that one can watch it come back. */
  app.post<{ Params: { viewer: string } }>('/cut/:viewer', async ({ params }, reply) => {
    viewers.get(params.viewer)?.destroy()
    reply.code(204)
  })

  app.register(fastifyStatic, { root: join(import.meta.dirname, 'public') })
  app.register(fastifyStatic, {
    root: dirname(fileURLToPath(import.meta.resolve('uplot'))),
    prefix: '/uplot/',
    decorateReply: false
  })
  app.addHook('onClose', async () => stopReading())

  function startReading(): void {
    readAlone = 0
    if (timer !== undefined) return
    reader.start()
    metricsReader.start()
    timer = setInterval(publishReading, PERIOD_MS)
  }

  function stopReading(): void {
    clearInterval(timer)
    timer = undefined
    reader.stop()
    metricsReader.stop()
  }

  function publishReading(): void {
    vitals.publish({ event: 'vitals', data: { ...reader.read(), viewers: vitals.size } })
    if (++readings % READINGS_PER_METRICS === 0) publishMetrics()
    readAlone = vitals.size + metrics.size === 0 ? readAlone + 1 : 0
    if (readAlone === READ_ALONE) stopReading()
  }

  function publishMetrics(): void {
    unseen = [...unseen, metricsReader.read()].slice(-KEPT_METRICS)
    if (metrics.size === 0) return
    metrics.publish(unseen.map((data) => ({ event: 'metrics' as const, data })))
    unseen = []
  }
}

if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true, forceCloseConnections: true })
  await app.register(dashboard)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}
