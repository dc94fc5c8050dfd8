/**
 * A build's log, of which no reader ever misses a line. Start it with `npx tsx examples/resume.ts`, open the page, and start
 * a build there, or with `curl -X POST http://localhost:3000/builds`. While it runs, reload the page, cut its connection, or
 * kill the server and start it again.
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
  /** From 1 on without holes, over all builds. */
  number: number
  build: number
  text: string
  /** Of the build, with this line. */
  state: 'running' | 'passed' | 'interrupted'
}

export default async function buildLog(app: FastifyInstance): Promise<void> {
  await app.register(eventStream)

  const log = app.sse.channel<{ line: Line }>('log', { maxMessages: 5_000, maxAgeMs: false })

  app.get('/log', (_request, reply) => {
    const sse = reply.sseStart()
    sse.send({ retry: 1_000 })
    log.subscribe(sse, { from: 'oldest' })
  })

  app.post('/builds', async (_request, reply) => {
    if (last.state === 'running') return reply.code(409).send({ message: `Build ${last.build} is running` })
    const build = last.build + 1
    run(build).catch((err) => app.log.error({ err, build }, 'the build could not be run'))
    return reply.code(202).send({ build })
  })

  /** Breaks all streams off as a bad network would. */
  app.post('/cut', async (_request, reply) => {
    for (const sse of app.sse.connections) sse.destroy()
    return reply.code(204).send()
  })

  app.register(fastifyStatic, { root: join(import.meta.dirname, 'resume') })

  // The history ends with its process. This log does not: it is read from its file again.
  const file = await open(LOG_FILE, 'a+')
  let last: Line = { number: 0, build: 0, text: '', state: 'passed' }
  for await (const line of file.readLines({ autoClose: false })) {
    last = JSON.parse(line)
    await log.publish({ event: 'line', data: last })
  }
  if (last.state === 'running') await print('The server stopped before the build was done', 'interrupted')

  /** First into the file: what a reader was shown is there again after a restart. */
  async function print(text: string, state: Line['state'], build = last.build): Promise<void> {
    last = { number: last.number + 1, build, text, state }
    await file.appendFile(`${JSON.stringify(last)}\n`)
    await log.publish({ event: 'line', data: last })
  }

  async function run(build: number): Promise<void> {
    await print(`Build ${build} has begun`, 'running', build)
    for await (const text of compile(Number(LINES))) await print(text, 'running')
    await print(`Build ${build} has passed`, 'passed')
  }
}

/** Stands for the build. */
async function* compile(files: number): AsyncGenerator<string> {
  for (let file = 1; file <= files; file++) {
    await setTimeout(Number(LINE_MS))
    yield `[${file}/${files}] compiled lib/module-${file}.ts`
  }
}

/** By itself: `npx tsx examples/resume.ts`. */
if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true })
  await app.register(buildLog)
  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}
