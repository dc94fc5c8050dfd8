import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { EventSource } from 'eventsource'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import * as errors from '../lib/base/errors.ts'
import { CHANNEL_CHECKS, CHANNEL_DEFAULTS, LIMITS } from '../lib/channel/channel-options.ts'
import { openEventStream } from '../lib/client/client.ts'
import type { StreamOptions } from '../lib/client/options.ts'
import { openSharedEventStream } from '../lib/client/shared.ts'
import { ENDLESS_DEFAULTS, resolveOptions } from '../lib/fastify/resolved-options.ts'
import { RUNS_CHECKS, RUNS_DEFAULTS } from '../lib/run/run-options.ts'
import {
  ARCHITECTURE_FILE,
  anchorsOf,
  blocks,
  GUIDE_FILES,
  isOfServer,
  MANUAL_FILES,
  programs,
  README_FILE,
  REPOSITORY_FILES,
  ROOT,
  table,
  textOf
} from './helpers/manual.ts'
import { RawClient } from './helpers/raw-client.ts'
import { runTypeScript } from './helpers/run-typescript.ts'
import { build, deferred, listen, until } from './helpers/server.ts'

type Test = Parameters<typeof build>[0]

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const { quickStart, examples } = programs()
/** Those after which no route can be added. */
const isLast = (code: string): boolean => code.includes('injectStream')

/** For examples that do something each second, or less often. */
const setIntervalNow = (run: () => void, ms: number): NodeJS.Timeout => setInterval(run, ms / 1_000)

t.test('manual › the first example runs', async (t) => {
  const program = quickStart.replace('logger: true', 'logger: false').replace('port: 3000', 'port: 0')
  t.match(quickStart, "import eventStream from 'fastify-eventstream'")
  const listening = deferred<number>()
  const apps: FastifyInstance[] = []
  const start = (options: FastifyServerOptions): FastifyInstance => {
    const app = Fastify(options)
    apps.push(app)
    t.teardown(() => app.close())
    app.addHook('onListen', async () => {
      listening.resolve((app.server.address() as AddressInfo).port)
    })
    return app
  }
  await runTypeScript(program, { Fastify: start, setInterval: setIntervalNow })
  const port = await listening.promise
  const clock = RawClient.get(port, '/clock')
  await clock.until(/event: tick\ndata: \{"now":\d+\}\n\n/)
  clock.socket.destroy()

  const report = (sky: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/weather`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sky })
    })
  const weather = RawClient.get(port, '/weather')
  await weather.until(/event: sse-cursor\ndata: {}\n\n/)
  const [, id = ''] = /^id: (\S+)/.exec(weather.body) ?? []
  weather.socket.destroy()
  await report('clear')
  const back = RawClient.get(port, '/weather', { 'Last-Event-ID': id })
  await back.until(/event: report\ndata: {"sky":"clear"}\n\n/)
  await report('cloudy')
  await back.until(/event: report\ndata: {"sky":"cloudy"}\n\n/)
  back.socket.destroy()

  const shown: unknown[] = []
  const scope = { ...pageOf(t, `http://127.0.0.1:${port}`), show: (data: unknown) => shown.push(data) }
  await runTypeScript(pageExample(`EventSource('/weather')`), scope)
  await until(() => apps[0]?.sse.channel('weather').size === 1)
  await report('windy')
  await until(() => shown.length > 0)
  t.same(shown, [{ sky: 'windy' }])
})

/** What a page of this server has. It is gone when the test ends. */
function pageOf(t: Test, url: string): Record<string, unknown> {
  const left = new AbortController()
  t.teardown(() => left.abort())
  return {
    EventSource: class extends EventSource {
      constructor(path: string) {
        super(url + path)
        left.signal.addEventListener('abort', () => this.close())
      }
    },
    openEventStream: (path: string, options: StreamOptions) =>
      openEventStream(url + path, { ...options, signal: left.signal }),
    openSharedEventStream: (path: string) => openSharedEventStream(url + path, { signal: left.signal })
  }
}

/** The one example for pages that has this in it. */
function pageExample(part: string): string {
  const [code = '', ...others] = blocks('js').filter((code) => code.includes(part))
  if (code === '' || others.length > 0) throw new Error(`There must be one example with ${part}`)
  return code
}

/** A server with all examples that are of no server of their own. */
async function serveExamples(t: Test): Promise<{ app: FastifyInstance; url: string; port: number }> {
  const upstream = createServer((_request, response) => {
    response.setHeader('content-type', 'text/event-stream')
    response.end('data: token\n\nevent: done\ndata:\n\n')
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => upstream.close())
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const app = await build(t)
  const scope = { app, upstreamUrl, setInterval: setIntervalNow }
  const own = examples.filter((code) => !isOfServer(code) && !code.includes('redisStore('))
  for (const code of [...own.filter((code) => !isLast(code)), ...own.filter(isLast)])
    await runTypeScript(code, scope)
  return { app, ...(await listen(app)) }
}

t.test('manual › the examples do what the guides say', async (t) => {
  const { app, url, port } = await serveExamples(t)
  const streams: [string, string, RequestInit, string | RegExp][] = [
    [
      'GET',
      '/messages',
      {},
      `data: just text\n\nid: 1\nevent: price\ndata: {"symbol":"ACME","price":42}\n\nretry: 5000\n${FAREWELL}`
    ],
    [
      'GET',
      '/countdown',
      {},
      `${[3, 2, 1, 3, 2, 1].map((left) => `event: left\ndata: ${left}\n\n`).join('')}${FAREWELL}`
    ],
    ['POST', '/completion', {}, 'data: token\n\nevent: done\ndata: \n\n'],
    ['GET', '/export', {}, 'data: id,name\n\ndata: 1,Ann\n\n'],
    ['GET', '/report', { headers: { accept: 'text/event-stream' } }, `data: one\n\ndata: two\n\n${FAREWELL}`],
    ['GET', '/report', {}, '{"lines":["one","two"]}'],
    [
      'GET',
      '/prices',
      {},
      `event: tick\ndata: {"price":42}\n\nevent: done\ndata: market closed\n\n${FAREWELL}`
    ],
    ['GET', '/trades', {}, `event: trade\ndata: {"symbol":"ACME","amount":10}\n\n${FAREWELL}`],
    ['GET', '/log', { headers: { 'last-event-id': '2' } }, `id: 3\ndata: third\n\n${FAREWELL}`],
    ['GET', '/log?lastEventId=2', {}, `id: 3\ndata: third\n\n${FAREWELL}`],
    ['GET', '/session', {}, /^data: until your session ends\n\nretry: \d+\n$/],
    [
      'GET',
      '/admin/streams',
      {},
      /^\{"stats":\{"connections":0,"opened":\d+,.*\},"channels":\[\{"name":"memberships","size":0\}\],"streams":\[\]\}$/
    ],
    ['GET', '/admin', {}, /^<!doctype html>/],
    ['GET', '/busy', { headers: { accept: 'text/event-stream' } }, /^retry: 3\d{4}\n+$/],
    ['GET', '/busy', {}, /"code":"FST_ERR_EVENTSTREAM_RETRY_LATER"/],
    ['DELETE', '/admin/streams/nobody', {}, '{"closed":0}'],
    ['GET', '/notifications', {}, '{"message":"Log in first"}'],
    ['GET', '/rooms/garden/members/ann/events', {}, '{"message":"Join first"}'],
    ['POST', '/answers/1', { body: 'to be', headers: { 'content-type': 'text/plain' } }, '{"id":"1"}'],
    [
      'GET',
      '/answers/1',
      {},
      /event: token\ndata: {"word":"to"}\n\nid: \S+\nevent: token\ndata: {"word":"be"}\n\nid: \S+\nevent: end\ndata: {"state":"done"}\n\n/
    ],
    ['POST', '/exports', {}, '{"created":true,"state":"done"}'],
    ['DELETE', '/answers/1', {}, '{"state":"done"}'],
    ['GET', '/answers/2', {}, '{"message":"There is no such answer"}'],
    ['GET', '/private', {}, '{"message":"Log in first"}'],
    ['GET', '/inside', { headers: { origin: 'https://else.example' } }, '{"message":"Not for you"}']
  ]
  for (const [method, path, init, expected] of streams) {
    const body = await (await fetch(url + path, { method, ...init })).text()
    if (typeof expected === 'string') t.equal(body, expected, `${method} ${path}`)
    else t.match(body, expected, `${method} ${path}`)
  }
  const asked = { origin: 'https://app.example.com', 'access-control-request-method': 'GET' }
  const preflight = await fetch(`${url}/news`, { method: 'OPTIONS', headers: asked })
  t.match(preflight.headers.get('access-control-allow-headers'), 'last-event-id')
  const post = async (path: string, data: unknown, method = 'POST'): Promise<string> => {
    const body = JSON.stringify(data)
    const response = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json' },
      body
    })
    return response.text()
  }
  const get = async (path: string): Promise<unknown> => (await fetch(url + path)).json()
  await post('/orders', 'tea')
  const subscribers: [string, (() => Promise<unknown>) | undefined, RegExp][] = [
    [
      '/news',
      () => post('/news', 'hello'),
      /^id: \w{10}-\w{10}\nevent: sse-cursor\ndata: {}\n\nid: \w{10}-\w{10}\ndata: hello\n\n$/
    ],
    ['/history', undefined, /^id: \S+\ndata: hello\n\nid: \S+\nevent: sse-cursor\ndata: {}\n\n$/],
    [
      '/news/local',
      () => Promise.all([post('/news', { region: 'far' }), post('/news', { region: 'local' })]),
      /^id: \S+\nevent: sse-cursor\ndata: {}\n\nid: \S+\ndata: {"region":"local"}\n\n$/
    ],
    [
      '/inbox/ann',
      () => post('/sports', 'goal').then(() => app.sse.channel('user:ann').publish('for ann')),
      /^event: welcome\ndata: ann\n\n[\s\S]*}\n\nid: \S+\ndata: goal\n\nid: \S+\ndata: for ann\n\n$/
    ],
    ['/rooms/ann', () => app.sse.channel('lounge').publish('in the lounge'), /data: in the lounge\n\n$/],
    ['/later/ann', () => app.sse.channel('lounge').publish('in the lounge'), /data: in the lounge\n\n$/],
    [
      '/rooms/ann',
      async () => {
        t.match(await get('/admin/streams'), {
          channels: [{}, { name: 'user:ann', size: 1 }, {}, {}],
          streams: [{ context: { user: 'ann' }, channels: ['user:ann', 'lounge', 'news'] }]
        })
        await fetch(`${url}/admin/streams/ann`, { method: 'DELETE' })
      },
      new RegExp(`${FAREWELL}$`)
    ],
    [
      '/board',
      () => post('/board/first', 'Done', 'PUT'),
      /^event: board\ndata: {"first":"Write a plan"}\n\n[\s\S]*event: task\ndata: {"first":"Done"}\n\n$/
    ],
    [
      '/orders',
      () => post('/orders', 'cake'),
      /^id: 1\nevent: order\ndata: {"id":1,"item":"tea"}\n\nid: 2\nevent: order\ndata: {"id":2,"item":"cake"}\n\n$/
    ],
    ['/orders?lastEventId=1', undefined, /^id: 2\nevent: order\ndata: {"id":2,"item":"cake"}\n\n$/],
    [
      '/warehouse',
      () => post('/warehouse/apples', '', 'PUT'),
      /^event: stock\ndata: {"apples":3}\n\n[\s\S]*event: stock\ndata: {"apples":4}\n\n$/
    ],
    ['/warehouse?lastEventId=lost', undefined, /^id: \S+\nevent: stock\ndata: {"apples":4}\n\n$/],
    [
      '/quotes',
      () => post('/quotes', { symbol: 'ACME', price: 42, secret: true }),
      /^data: welcome\n\n[\s\S]*event: quote\ndata: {"symbol":"ACME","price":42}\n\n$/
    ],
    ['/ticker', () => post('/ticker/ACME', 42), /event: quote\ndata: 42\n\n$/],
    ['/lobby', undefined, /event: present\ndata: 1\n\n$/],
    [
      '/builds/7',
      () => post('/builds/7/end', {}),
      new RegExp(`event: done\\ndata: built\\n\\n[\\s\\S]*${FAREWELL}$`)
    ],
    [
      '/notifications',
      () =>
        post('/users/ann/notifications', 'for ann').then(() =>
          app.sse.channel('notices').publish({ event: 'notice', data: 'for all' })
        ),
      /event: notice\ndata: for ann\n\nid: \S+\nevent: notice\ndata: for all\n\n$/
    ],
    [
      '/payments',
      async () => {
        t.match(await post('/payments', { cents: -1 }), /CHECK constraint failed/)
        await post('/payments', { cents: 250 })
        await post('/payments', { cents: 300 })
      },
      /^id: \S+\nevent: sse-cursor\ndata: {}\n\nid: \S+\nevent: payment\ndata: {"id":1,"cents":250}\n\nid: \S+\nevent: payment\ndata: {"id":2,"cents":300}\n\n$/
    ],
    ['/inside', undefined, /event: sse-cursor/],
    ['/feed', undefined, /event: sse-cursor/],
    ['/load', undefined, /event: load\ndata: \[.*\]\n\n$/],
    ['/private', () => app.sse.channel('private:ann').publish('for ann'), /data: for ann\n\n$/]
  ]
  for (const [path, act, expected] of subscribers) {
    const client = RawClient.get(port, path, { Authorization: 'Bearer of-ann' })
    if (act !== undefined) {
      await client.until(/\r\nid: |event: /)
      await act()
    }
    await until(() => expected.test(client.body))
    t.pass(`GET ${path}`)
    client.socket.destroy()
    await until(() => app.sse.connections.size === 0)
  }
  await post('/rooms/garden/said', 'before')
  await fetch(`${url}/rooms/garden/members/ann`, { method: 'PUT' })
  await post('/rooms/garden/said', 'since')
  const member = RawClient.get(port, '/rooms/garden/members/ann/events?lastEventId=made-up')
  await member.until(/data: since\n\n/)
  t.notMatch(member.body, 'before', 'what was said before ann joined is not for ann')
  await fetch(`${url}/rooms/garden/members/ann`, { method: 'DELETE' })
  await member.until(/event: close\n/)

  const first = (await get('/news/next')) as { id: string }
  t.match(first, { type: 'message', event: '', data: 'hello' })
  t.match(await get(`/news/next?after=${first.id}`), { type: 'message', data: '{"region":"far"}' })
  const purchases = [await post('/purchases', { id: '1' }), await post('/purchases', { id: '1' })]
  t.match(purchases[0], /^{"cursor":"\S+"}$/)
  t.equal(purchases[1], purchases[0], 'it is published once')
  t.match(await post('/orders/bulk', [{ id: '1' }, { id: '2' }]), /^{"ids":\["\S+","\S+"\]}$/)
  await post('/typing', { user: 'ann' })
  t.match(await app.sse.channel('bulk').info(), { messages: 2 }, 'nothing is kept of who is typing')
  const routes = examples.flatMap((code) => [...code.matchAll(/app\.(\w+)(?:<.*>)?\('(\/[^':]*)/g)])
  const tested = [
    ...streams.map(([method, path]) => `${method} ${path}`),
    ...subscribers.map(([path]) => `GET ${path}`),
    'GET /news/next',
    'POST /news',
    'POST /sports',
    'POST /quotes',
    'POST /orders',
    'POST /orders/bulk',
    'POST /typing',
    'POST /builds/',
    'POST /purchases',
    'POST /users/',
    'POST /rooms/',
    'PUT /rooms/',
    'DELETE /rooms/',
    'POST /payments',
    'PUT /board/',
    'POST /ticker/',
    'PUT /warehouse/apples'
  ]
  for (const [, method = '', path = ''] of routes) {
    t.ok(
      tested.some((test) => test.startsWith(`${method.toUpperCase()} ${path}`)),
      `${method} ${path} is tested`
    )
  }
})

t.test('manual › the examples for pages do what the guides say', async (t) => {
  const { app, url } = await serveExamples(t)
  const page = pageOf(t, url)
  const shown: unknown[] = []
  const show = (...given: unknown[]): void => {
    shown.push(given)
  }
  const untilShown = (...given: unknown[]): Promise<void> =>
    until(() => shown.some((one) => JSON.stringify(one) === JSON.stringify(given)))
  const untilSubscribed = (channel: string): Promise<void> => until(() => app.sse.channel(channel).size > 0)

  const sources: EventSource[] = []
  const Source = page.EventSource as typeof EventSource
  class NotedSource extends Source {
    constructor(path: string) {
      super(path)
      sources.push(this)
    }
  }
  await runTypeScript(pageExample(`EventSource('/messages')`), { EventSource: NotedSource })
  await until(() => sources[0]?.readyState === EventSource.CLOSED)
  t.pass('the farewell stops an EventSource')

  const failures: unknown[] = []
  const fail = (error: unknown): void => {
    failures.push(error)
  }
  const freshToken = async (): Promise<string> => 'of-ann'
  runTypeScript(pageExample(`openEventStream('/quotes'`), { ...page, show, freshToken }).catch(fail)
  await untilSubscribed('quotes')
  await app.sse.channel('quotes').publish({ event: 'quote', data: { symbol: 'ACME', price: 42 } })
  await untilShown('quote', { symbol: 'ACME', price: 42 })

  const answer = pageExample(`openEventStream('/completion'`)
  await runTypeScript(`${answer}\nshow(text)`, { ...page, show })
  await untilShown('token')

  const tokens: boolean[] = []
  const token = async ({ isStale }: { isStale: boolean }): Promise<string> => {
    tokens.push(isStale)
    return isStale ? 'of-ann' : 'old'
  }
  runTypeScript(pageExample(`openEventStream('/private'`), { ...page, show, token }).catch(fail)
  await untilSubscribed('private:ann')
  t.same(tokens, [false, true], 'after a 401 comes another token')
  await app.sse.channel('private:ann').publish('for ann')
  await untilShown('for ann')

  await runTypeScript(pageExample('openSharedEventStream('), { ...page, append: show, beginAgain: show })
  await untilSubscribed('news')
  await app.sse.channel('news').publish('for all tabs')
  await untilShown('for all tabs')
  t.same(failures, [])
})

t.test('manual › limits by name and by pattern are what it says', async (t) => {
  const [code = '', ...others] = examples.filter((code) => isOfServer(code) && !code.includes('redisStore('))
  t.same(others, [])
  const app = Fastify()
  t.teardown(() => app.close())
  await runTypeScript(code, { app })
  for (const [name, kept] of [
    ['room:1', 50],
    ['lobby', 500],
    ['audit', 1_000]
  ] as const) {
    await app.sse.channel(name).publish(Array.from({ length: 1_000 }, String))
    t.match(await app.sse.channel(name).info(), { messages: kept }, name)
  }
})

/** The links of a file to other files, and to headings. */
function linksOf(file: URL): { target: URL; anchor: string | undefined }[] {
  const links = textOf(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)
  return [...links].map(([, path = '', anchor]) => ({
    target: path === '' ? file : new URL(path, file),
    anchor
  }))
}

t.test(
  'manual › links lead to what is there, and those of the package to what is in the package',
  async (t) => {
    const packed = new Set(packedFiles())
    for (const file of [...MANUAL_FILES, new URL('CHANGELOG.md', ROOT)]) {
      t.ok(packed.has(file.href), `${file.pathname} is packed`)
      for (const { target } of linksOf(file))
        t.ok(packed.has(target.href), `${file.pathname}: ${target.pathname}`)
    }
    for (const file of [...MANUAL_FILES, ...REPOSITORY_FILES]) {
      for (const { target, anchor } of linksOf(file)) {
        t.ok(existsSync(target), `${file.pathname}: ${target.pathname}`)
        if (anchor !== undefined)
          t.ok(anchorsOf(textOf(target)).includes(anchor), `${file.pathname}: ${target.pathname}#${anchor}`)
      }
    }
  }
)

/** What `npm pack` takes. What is built is not asked for. */
function packedFiles(): string[] {
  const json = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: fileURLToPath(ROOT),
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const [{ files }] = JSON.parse(json.toString()) as [{ files: { path: string }[] }]
  return files.map(({ path }) => new URL(path, ROOT).href)
}

t.test('manual › the README leads to every guide, and is short', async (t) => {
  const targets = linksOf(README_FILE).map(({ target }) => target.href)
  for (const { href } of GUIDE_FILES) t.ok(targets.includes(href), href)
  t.ok(textOf(README_FILE).split(/\s+/).length <= 2_500)
})

t.test('manual › files and commands of the repository that it names are there', async (t) => {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'))
  const text = [...MANUAL_FILES, ...REPOSITORY_FILES].map(textOf).join('\n')
  for (const [, name = ''] of text.matchAll(/npm run ([\w:]+)/g)) t.ok(scripts[name], `npm run ${name}`)
  for (const [, path = ''] of text.matchAll(/`((?:examples|lib|test|\.github|\.ci)\/[\w./-]*)`/g))
    t.ok(existsSync(new URL(path, ROOT)), path)
})

t.test('lib/README › each file that it names is there', async (t) => {
  const rooms = readdirSync(new URL('.', ARCHITECTURE_FILE), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  const named = textOf(ARCHITECTURE_FILE).matchAll(new RegExp(`\\b(?:${rooms.join('|')})/[\\w/-]+\\.ts`, 'g'))
  const files = new Set([...named].map(([file]) => file))
  t.ok(files.size > 20)
  for (const file of files) t.ok(existsSync(new URL(file, ARCHITECTURE_FILE)), file)
})

t.test('manual › the metrics that it shows are those of the example', async (t) => {
  const file = readFileSync(new URL('../examples/metrics/prom-client.ts', import.meta.url), 'utf8')
  const names =
    MANUAL_FILES.map(textOf)
      .join()
      .match(/^eventstream_\w+/gm) ?? []
  t.equal(names.length, 4)
  for (const name of names) t.ok(file.includes(`'${name}'`), name)
})

t.test('manual › its proxy configurations are the files that the tests run', async (t) => {
  for (const [language, file] of [
    ['nginx', 'nginx.conf'],
    ['haproxy', 'haproxy.cfg']
  ] as const) {
    t.same(blocks(language), [readFileSync(new URL(`../examples/proxies/${file}`, import.meta.url), 'utf8')])
  }
})

t.test('manual › the tables of options hold every option and its default', async (t) => {
  const { drainMs, channels, history, runs, limit, ...rest } = resolveOptions({})
  const defaults = { ...rest, ...ENDLESS_DEFAULTS, drainMs, channels, history, runs, limit }
  const shown = (value: unknown): string => {
    if (value === undefined) return 'none'
    return value === JSON.stringify ? 'JSON.stringify' : JSON.stringify(value)
  }
  const isLimit = (name: string): boolean => LIMITS.some((limit) => limit === name)
  const isOfChannels = (name: string): boolean => Object.hasOwn(CHANNEL_CHECKS, name) && !isLimit(name)
  const own = Object.entries(defaults).filter(([name]) => !isOfChannels(name))
  t.same(
    table('reference', 'option').map(([name, value]) => [name, value]),
    own.map(([name, value]) => [name, shown(value)])
  )
  t.same(
    table('reference', 'channel option').map(([name, value]) => [name, value]),
    Object.keys(CHANNEL_CHECKS).map((name) => [name, shown(Reflect.get(CHANNEL_DEFAULTS, name))])
  )
  t.same(
    table('reference', 'run option').map(([name, value]) => [name, value]),
    Object.keys(RUNS_CHECKS).map((name) => [name, shown(Reflect.get(RUNS_DEFAULTS, name))])
  )
})

t.test('manual › the table of errors holds every code and its status, and a test sees each', async (t) => {
  const codes = Object.entries(errors).filter(([name]) => name.startsWith('FST_ERR_'))
  const expected = codes.map(([name, Constructor]) => {
    const { code, statusCode } = Reflect.construct(Constructor, ['', { cause: undefined }])
    t.equal(code, name)
    return [code, String(statusCode)]
  })
  const documented = table('errors', 'code').map(([code, status]) => [code, status])
  t.same(documented.sort(), expected.sort())
  const tests = readdirSync(new URL('.', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && file !== 'manual.test.ts')
    .map((file) => readFileSync(new URL(file, import.meta.url), 'utf8'))
    .join()
  for (const [code] of codes) t.ok(tests.includes(code), code)
})
