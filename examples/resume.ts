/**
 * A build's log that belongs to no page: a run. Start it with `npx tsx examples/resume.ts`, open the page, and start a build
 * there, or with `curl -X POST http://localhost:3000/builds`. While it runs, reload the page, open it twice, cut its
 * connection, stop the build, or kill the server and start it again.
 */
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

const {
  LINES = '240',
  LINE_MS = '30',
  LOG_FILE = join(tmpdir(), 'fastify-eventstream-builds.log')
} = process.env

interface Line {
  build: number
  /** From 1 on without holes. */
  number: number
  text: string
}

export default async function buildLog(app: FastifyInstance): Promise<void> {
  await app.register(eventStream, { runs: { keepEndedMs: 86_400_000, maxPerKey: 1 } })

  /** Which build is the newest. */
  const builds = app.sse.channel<{ build: { build: number } }>('builds', { maxMessages: 1, maxAgeMs: false })

  app.get('/builds', (_request, reply) => {
    const sse = reply.sseStart()
    sse.send({ retry: 1_000 })
    builds.subscribe(sse, { from: 'oldest' })
  })

  app.post('/builds', async (_request, reply) => {
    const build = newest + 1
    const { run, created } = await app.sse.runs.start(nameOf(build), ({ signal }) => write(build, signal), {
      map: (line) => ({ event: 'line', data: line }),
      key: 'the only machine'
    })
    if (!created) return reply.code(409).send({ message: `Build ${build} is running` })
    newest = build
    run.ended.then((state) => record({ build, state })).catch((err) => app.log.warn({ err, build }))
    await builds.publish({ event: 'build', data: { build } })
    return reply.code(202).send({ build })
  })

  app.get<{ Params: { build: string } }>('/builds/:build', async (request, reply) => {
    const run = await app.sse.runs.get(nameOf(request.params.build))
    if (run === undefined) return reply.code(404).send({ message: 'There is no such build' })
    const sse = reply.sseStart()
    sse.send({ retry: 1_000 })
    run.subscribe(sse)
  })

  app.delete<{ Params: { build: string } }>('/builds/:build', async (request, reply) => {
    const run = await app.sse.runs.get(nameOf(request.params.build))
    if (run === undefined) return reply.code(404).send({ message: 'There is no such build' })
    await run.stop('by hand')
    return { state: await run.ended }
  })

  /** Breaks all streams off as a bad network would. */
  app.post('/cut', async (_request, reply) => {
    for (const sse of app.sse.connections) sse.destroy()
    return reply.code(204).send()
  })

  app.register(fastifyStatic, {
    root: ['resume', 'style'].map((folder) => join(import.meta.dirname, folder))
  })

  // A run ends with its process. This log does not: the newest build is read from its file again.
  const file = await open(LOG_FILE, 'a+')
  const lines: Line[] = []
  let state = 'interrupted'
  for await (const text of file.readLines({ autoClose: false })) {
    const line = JSON.parse(text)
    if (line.number === 1) lines.length = 0
    state = line.state ?? 'interrupted'
    if (line.state === undefined) lines.push(line)
  }
  let newest = lines[0]?.build ?? 0
  if (newest > 0) {
    await app.sse.runs.start(nameOf(newest), () => lines, {
      map: (line) => ({ event: 'line', data: line }),
      end: () => ({ event: 'end', data: { state } })
    })
    await builds.publish({ event: 'build', data: { build: newest } })
  }

  /** First into the file: what a reader was shown is there again after a restart. */
  async function* write(build: number, signal: AbortSignal): AsyncGenerator<Line> {
    let number = 0
    for await (const text of compile(build, Number(LINES), signal)) {
      const line = { build, number: ++number, text }
      await record(line)
      yield line
    }
  }

  async function record(line: Line | { build: number; state: string }): Promise<void> {
    await file.appendFile(`${JSON.stringify(line)}\n`)
  }
}

function nameOf(build: number | string): string {
  return `build ${build}`
}

/** Stands for the build. */
async function* compile(build: number, files: number, signal: AbortSignal): AsyncGenerator<string> {
  yield `Build ${build} has begun`
  for (let file = 1; file <= files; file++) {
    await setTimeout(Number(LINE_MS), undefined, { signal })
    yield `[${file}/${files}] compiled lib/module-${file}.ts`
  }
  yield `Build ${build} has passed`
}

/** By itself: `npx tsx examples/resume.ts`. */
if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true })
  await app.register(buildLog)
  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}
