import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import * as errors from '../lib/base/errors.ts'
import { CHANNEL_CHECKS, CHANNEL_DEFAULTS, LIMITS } from '../lib/channel/channel-options.ts'
import { ENDLESS_DEFAULTS, resolveOptions } from '../lib/fastify/options.ts'
import { RawClient } from './helpers/raw-client.ts'
import {
  ARCHITECTURE_FILE,
  anchorsOf,
  blocks,
  isOfServer,
  MANUAL_FILES,
  programs,
  table,
  textOf
} from './helpers/readme.ts'
import { runTypeScript } from './helpers/run-typescript.ts'
import { build, deferred, listen, until } from './helpers/server.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const { quickStart, guides } = programs()
/** Those after which no route can be added. */
const isLast = (code: string): boolean => code.includes('injectStream')

/** For examples that do something each second. */
const setIntervalNow = (run: () => void): NodeJS.Timeout => setInterval(run, 1)

t.test('README › the first example runs', async (t) => {
  const program = quickStart.replace('logger: true', 'logger: false').replace('port: 3000', 'port: 0')
  t.match(quickStart, "import eventStream from 'fastify-eventstream'")
  const listening = deferred<number>()
  const start = (options: FastifyServerOptions): FastifyInstance => {
    const app = Fastify(options)
    t.teardown(() => app.close())
    app.addHook('onListen', async () => {
      listening.resolve((app.server.address() as AddressInfo).port)
    })
    return app
  }
  await runTypeScript(program, { Fastify: start, setInterval: setIntervalNow })
  const client = RawClient.get(await listening.promise, '/clock')
  await client.until(/event: tick\ndata: \{"now":\d+\}\n\n/)
  client.socket.destroy()
})

t.test('README › the guides do what they say', async (t) => {
  const upstream = createServer((_request, response) => {
    response.setHeader('content-type', 'text/event-stream')
    response.end('data: token\n\nevent: done\ndata:\n\n')
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => upstream.close())
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const app = await build(t)
  const scope = { app, upstreamUrl, setInterval: setIntervalNow }
  const own = guides.filter((code) => !isOfServer(code) && !code.includes('redisStore('))
  for (const code of [...own.filter((code) => !isLast(code)), ...own.filter(isLast)])
    await runTypeScript(code, scope)
  const { url, port } = await listen(app)

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
      '/streams',
      {},
      /^\{"stats":\{"connections":0,"opened":\d+,.*\},"channels":\[\],"streams":\[\]\}$/
    ],
    ['GET', '/busy', { headers: { accept: 'text/event-stream' } }, /^retry: 3\d{4}\n+$/],
    ['GET', '/busy', {}, /"code":"FST_ERR_EVENTSTREAM_RETRY_LATER"/],
    ['DELETE', '/streams/nobody', {}, '{"closed":0}'],
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
        t.match(await get('/streams'), {
          channels: [{ name: 'user:ann', size: 1 }, {}, {}],
          streams: [{ context: { user: 'ann' }, channels: ['user:ann', 'lounge', 'news'] }]
        })
        await fetch(`${url}/streams/ann`, { method: 'DELETE' })
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
  const first = (await get('/news/next')) as { id: string }
  t.match(first, { type: 'message', event: '', data: 'hello' })
  t.match(await get(`/news/next?after=${first.id}`), { type: 'message', data: '{"region":"far"}' })
  const purchases = [await post('/purchases', { id: '1' }), await post('/purchases', { id: '1' })]
  t.match(purchases[0], /^{"cursor":"\S+"}$/)
  t.equal(purchases[1], purchases[0], 'it is published once')
  t.match(await post('/orders/bulk', [{ id: '1' }, { id: '2' }]), /^{"ids":\["\S+","\S+"\]}$/)
  await post('/typing', { user: 'ann' })
  t.match(await app.sse.channel('bulk').info(), { messages: 2 }, 'nothing is kept of who is typing')
  const routes = guides.flatMap((code) => [...code.matchAll(/app\.(\w+)(?:<.*>)?\('(\/[^':]*)/g)])
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

t.test('README › limits by name and by pattern are what it says', async (t) => {
  const [code = '', ...others] = guides.filter((code) => isOfServer(code) && !code.includes('redisStore('))
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

t.test('README › its links, and those of the guides, lead somewhere', async (t) => {
  for (const file of [...MANUAL_FILES, ARCHITECTURE_FILE]) {
    for (const [, path = '', anchor] of textOf(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const target = path === '' ? file : new URL(path, file)
      t.ok(existsSync(target), path)
      if (anchor !== undefined) t.ok(anchorsOf(textOf(target)).includes(anchor), `${path}#${anchor}`)
    }
  }
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

t.test('README › the metrics that it shows are those of the example', async (t) => {
  const file = readFileSync(new URL('../examples/metrics/prom-client.ts', import.meta.url), 'utf8')
  const names =
    MANUAL_FILES.map(textOf)
      .join()
      .match(/^eventstream_\w+/gm) ?? []
  t.equal(names.length, 4)
  for (const name of names) t.ok(file.includes(`'${name}'`), name)
})

t.test('README › its proxy configurations are the files that the tests run', async (t) => {
  for (const [language, file] of [
    ['nginx', 'nginx.conf'],
    ['haproxy', 'haproxy.cfg']
  ] as const) {
    t.same(blocks(language), [readFileSync(new URL(`../examples/proxies/${file}`, import.meta.url), 'utf8')])
  }
})

t.test('README › the tables of options hold every option and its default', async (t) => {
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
    table('option').map(([name, value]) => [name, value]),
    own.map(([name, value]) => [name, shown(value)])
  )
  t.same(
    table('channel option').map(([name, value]) => [name, value]),
    Object.keys(CHANNEL_CHECKS).map((name) => [name, shown(Reflect.get(CHANNEL_DEFAULTS, name))])
  )
})

t.test('README › the table of errors holds every code and its status, and a test sees each', async (t) => {
  const codes = Object.entries(errors).filter(([name]) => name.startsWith('FST_ERR_'))
  const expected = codes.map(([name, Constructor]) => {
    const { code, statusCode } = Reflect.construct(Constructor, ['', { cause: undefined }])
    t.equal(code, name)
    return [code, String(statusCode)]
  })
  const documented = table('code').map(([code, status]) => [code, status])
  t.same(documented.sort(), expected.sort())
  const tests = readdirSync(new URL('.', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && file !== 'readme.test.ts')
    .map((file) => readFileSync(new URL(file, import.meta.url), 'utf8'))
    .join()
  for (const [code] of codes) t.ok(tests.includes(code), code)
})
