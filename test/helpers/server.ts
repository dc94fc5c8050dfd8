import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import eventStream, { type EventStreamOptions } from '../../lib/index.ts'

/** One line of a server's log. */
export interface LogLine {
  level: number
  msg: string
  reqId?: string
  err?: { message: string; code?: string }
  eventStream?: Record<string, unknown>
}

interface Test {
  teardown(fn: () => unknown): void
}

/** A server with the plugin, closed when the test ends. */
export async function build(
  t: Test,
  plugin: EventStreamOptions = {},
  server: FastifyServerOptions & { http2?: boolean; https?: object } = {}
): Promise<FastifyInstance> {
  const app = Fastify(server as FastifyServerOptions) as FastifyInstance
  t.teardown(() => app.close())
  await app.register(eventStream, plugin)
  return app
}

/** Makes a server listen on a free port of the loopback. */
export async function listen(app: FastifyInstance): Promise<{ port: number; url: string }> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { port, url: `http://127.0.0.1:${port}` }
}

/** A logger that keeps its lines. */
export function logger(): { lines: LogLine[]; options: { level: string; stream: Writable } } {
  const lines: LogLine[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    }
  })
  return { lines, options: { level: 'info', stream } }
}

/** A promise and the function that resolves it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

/** The next turn of the event loop, after all I/O of this one. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits until `condition` holds, also while a fake clock stands still. Where there is an event, await that. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1)
}

/** Waits until a count stands still over many turns of the event loop, and gives it. */
export async function untilResting(count: () => number): Promise<number> {
  let before = -1
  for (let turns = 0; turns < 100; turns++) {
    if (count() !== before) turns = 0
    before = count()
    await nextTurn()
  }
  return before
}
