import { readFileSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { EventStreamOptions, SSEConnection } from '../../../lib/index.ts'
import { build } from '../../helpers/server.ts'

const html = readFileSync(new URL('page.html', import.meta.url), 'utf8')
/** A file of the tests' own certificate. */
export const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../fixtures/${name}.pem`, import.meta.url))

/** What Firefox says of a stream that was cut or refused, as if it were an error of the page's script. */
const FIREFOX_COMPLAINT = /^Error: (Firefox can’t establish a|The) connection to /

/** A browser, whoever drives it. */
export interface Browser {
  version(): Promise<string>
  newPage(): Promise<Page>
}

export interface Page {
  goto(url: string): Promise<unknown>
  evaluate(expression: string): Promise<unknown>
  bringToFront(): Promise<void>
  close(): Promise<void>
  setDefaultTimeout?(ms: number): void
  /** Tells what the page's scripts do not catch. */
  on?(event: 'pageerror', listener: (error: unknown) => void): unknown
}

/** What a browser asked for, pages apart. */
interface Asked {
  readonly method: string
  readonly path: string
  readonly lastEventId: string | undefined
  readonly cookie: string | undefined
}

export interface Site {
  readonly app: FastifyInstance
  readonly asked: Asked[]
  readonly streams: SSEConnection[]
  /** All connections that there were. */
  readonly sockets: ReadonlySet<Socket>
}

/** A server with a page, and with streams at `/stream` that get nothing by themselves but a short reconnection time. */
export async function site(
  t: Test,
  plugin: EventStreamOptions = {},
  server: FastifyServerOptions & { http2?: boolean; https?: object } = {}
): Promise<Site> {
  const app = await build(
    t,
    { heartbeatMs: false, retryMs: [1, 1], farewell: false, ...plugin },
    { forceCloseConnections: true, ...server }
  )
  const asked: Asked[] = []
  const streams: SSEConnection[] = []
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => sockets.add(socket))
  app.addHook('onRequest', async ({ method, url, headers }) => {
    if (url === '/page') return
    const lastEventId = headers['last-event-id']
    asked.push({ method, path: url, lastEventId: lastEventId?.toString(), cookie: headers.cookie })
  })
  app.get('/page', async (_request, reply) => reply.type('text/html').send(html))
  app.get('/stream', async (_request, reply) => {
    const sse = reply.sseStart()
    streams.push(sse)
    sse.send({ retry: 1 })
  })
  return { app, asked, streams, sockets }
}

/** A site whose streams are subscribed to the channel `news`. */
export async function newsSite(t: Test, plugin: EventStreamOptions): Promise<Site> {
  const made = await site(t, plugin)
  made.app.get('/news', async (_request, reply) => {
    const sse = reply.sseStart()
    made.streams.push(sse)
    sse.send({ retry: 1 })
    made.app.sse.channel('news').subscribe(sse)
  })
  return made
}

export async function listen(app: FastifyInstance, port = 0): Promise<string> {
  await app.listen({ port, host: '127.0.0.1' })
  const scheme = app.initialConfig.https ? 'https' : 'http'
  return `${scheme}://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** A new page of this origin, closed when the test ends. */
export async function visit(t: Test, browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage()
  page.setDefaultTimeout?.(0)
  t.teardown(() => page.close())
  page.on?.('pageerror', (error) => {
    if (!FIREFOX_COMPLAINT.test(String(error))) t.fail(String(error))
  })
  await page.goto(`${origin}/page`)
  return page
}

/** A site that listens, and a page of it. */
export async function open(
  t: Test,
  browser: Browser,
  { app }: Site
): Promise<{ page: Page; origin: string }> {
  const origin = await listen(app)
  return { page: await visit(t, browser, origin), origin }
}

/**
 * Closes a server after it can be asked nothing more: otherwise a browser that comes back sooner than it has closed is answered
 * with a `503`, and gives up.
 */
export async function closeUnreachable({ app, streams, sockets }: Site): Promise<void> {
  app.server.close()
  const ofStreams = new Set<unknown>(streams.map(({ socket }) => socket))
  for (const socket of sockets) if (!ofStreams.has(socket)) socket.destroy()
  await app.close()
}

export function last<T>(items: readonly T[]): T {
  const item = items.at(-1)
  if (item === undefined) throw new Error('there is none')
  return item
}
