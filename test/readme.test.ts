import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import ts from 'typescript'
import * as errors from '../lib/errors.ts'
import eventStream from '../lib/index.ts'
import { resolveOptions } from '../lib/options.ts'
import { RawClient } from './helpers/raw-client.ts'
import { blocks, table } from './helpers/readme.ts'
import { build, listen, until } from './helpers/server.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const [quickStart = '', ...guides] = blocks('ts')

/** Runs TypeScript as the body of an async function. */
function run(code: string, scope: Record<string, unknown>): Promise<unknown> {
  const { outputText } = ts.transpileModule(code, { compilerOptions: { target: ts.ScriptTarget.ES2022 } })
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor
  return AsyncFunction(...Object.keys(scope), outputText)(...Object.values(scope))
}

t.test('README › the first example runs', async (t) => {
  const program = quickStart
    .replace(/^import .*\n/gm, '')
    .replace('logger: true', 'logger: false')
    .replace('port: 3000', 'port: 0')
  t.match(quickStart, "import eventStream from 'fastify-eventstream'")
  let port = 0
  const start = (options: FastifyServerOptions): FastifyInstance => {
    const app = Fastify(options)
    t.teardown(() => app.close())
    app.addHook('onListen', async () => {
      port = (app.server.address() as AddressInfo).port
    })
    return app
  }
  await run(program, { Fastify: start, eventStream })
  await until(() => port > 0)
  const client = RawClient.get(port, '/clock')
  await client.until(/event: tick\ndata: \{"now":\d+\}\n\n/)
  client.socket.destroy()
})

t.test('README › the guides do what they say', async (t) => {
  const upstream = createServer((_request, response) => response.end('token'))
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => upstream.close())
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const app = await build(t)
  for (const code of guides) await run(code, { app, upstreamUrl })
  const { url } = await listen(app)

  const streams: [string, string, RequestInit, string | RegExp][] = [
    [
      'GET',
      '/messages',
      {},
      `data: just text\n\nid: 1\nevent: price\ndata: {"symbol":"ACME","price":42}\n\nretry: 5000\n\n${FAREWELL}`
    ],
    [
      'GET',
      '/countdown',
      {},
      `${[3, 2, 1].map((left) => `event: left\ndata: ${left}\n\n`).join('')}${FAREWELL}`
    ],
    ['POST', '/completion', {}, `data: token\n\nevent: done\ndata: \n\n${FAREWELL}`],
    ['GET', '/report', {}, `data: one\n\ndata: two\n\n${FAREWELL}`],
    ['GET', '/report', { headers: { accept: 'application/json' } }, '{"lines":["one","two"]}'],
    [
      'GET',
      '/prices',
      {},
      `event: tick\ndata: {"price":42}\n\nevent: done\ndata: market closed\n\n${FAREWELL}`
    ],
    ['GET', '/log', { headers: { 'last-event-id': '2' } }, `id: 3\ndata: third\n\n${FAREWELL}`],
    ['GET', '/log?lastEventId=2', {}, `id: 3\ndata: third\n\n${FAREWELL}`],
    ['GET', '/session', {}, /^data: until your session ends\n\nretry: \d+\n\n$/],
    ['GET', '/streams', {}, /^\{"connections":0,"opened":\d+,"messages":\d+,"bytes":\d+,"users":\[\]\}$/],
    ['DELETE', '/streams/nobody', {}, '{"closed":0}']
  ]
  for (const [method, path, init, expected] of streams) {
    const body = await (await fetch(url + path, { method, ...init })).text()
    if (typeof expected === 'string') t.equal(body, expected, `${method} ${path}`)
    else t.match(body, expected, `${method} ${path}`)
  }
  const routes = guides.flatMap((code) => [...code.matchAll(/app\.(\w+)(?:<.*>)?\('(\/[^':]*)/g)])
  const tested = streams.map(([method, path]) => `${method} ${path}`)
  for (const [, method = '', path = ''] of routes) {
    t.ok(
      tested.some((test) => test.startsWith(`${method.toUpperCase()} ${path}`)),
      `${method} ${path} is tested`
    )
  }
})

t.test(
  'README › the error handler of the guide tells clients of a closing server to come back',
  async (t) => {
    const app = await build(t)
    for (const code of guides.filter((code) => code.includes('setErrorHandler'))) await run(code, { app })
    app.get('/', async () => {
      throw new errors.FST_ERR_EVENTSTREAM_CLOSING()
    })
    app.get('/other', async () => {
      throw new Error('other')
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 200)
    t.equal(response.body, 'retry: 2000\n\n')
    t.equal((await app.inject('/other')).statusCode, 500)
  }
)

t.test('README › its examples pass the type check', async (t) => {
  const fileName = new URL('../readme-examples.ts', import.meta.url).pathname
  const bodies = guides.map((code) => `async () => {\n${code}\n}\n`)
  const source = `${quickStart}\ndeclare const upstreamUrl: string\nexport const guides = [${bodies.join(',\n')}]\n`
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.')
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (name) => name === fileName || fileExists(name)
  host.readFile = (name) => (name === fileName ? source : readFile(name))
  host.getSourceFile = (name, ...rest) =>
    name === fileName
      ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2023)
      : getSourceFile(name, ...rest)
  const paths = { 'fastify-eventstream': ['./lib/index.ts'] }
  const program = ts.createProgram([fileName], { ...options, paths }, host)
  const problems = ts.getPreEmitDiagnostics(program).map(({ messageText, start, file }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line
    return `${source.split('\n')[line]}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
  t.same(problems, [])
})

t.test('README › the table of options holds every option and its default', async (t) => {
  const { farewellFrame, shutdownFrame, ...defaults } = resolveOptions({})
  const expected = Object.entries(defaults).map(([name, value]) => [
    name,
    value === JSON.stringify ? 'JSON.stringify' : JSON.stringify(value)
  ])
  t.same(
    table('option').map(([name, value]) => [name, value]),
    expected
  )
  t.ok(farewellFrame)
  t.notOk(shutdownFrame)
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
