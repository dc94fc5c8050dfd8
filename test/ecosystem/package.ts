import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { readEvents } from '../../lib/testing/testing.ts'

/** What the package may take when it is downloaded. */
const MAX_BYTES = 190_000
/** TypeScript knows from 5.8 on that CommonJS may `require()` ES modules, and gives `node10` up in 7. */
const PROJECTS = [
  { version: '5.4', type: 'module', module: 'nodenext', moduleResolution: 'nodenext' },
  { version: '5.4', type: 'commonjs', module: 'commonjs', moduleResolution: 'node10' },
  { version: 'latest', type: 'module', module: 'nodenext', moduleResolution: 'nodenext' },
  { version: 'latest', type: 'commonjs', module: 'nodenext', moduleResolution: 'nodenext' }
]
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
/** What a user needs. Nothing else is packed. */
const CONTENTS = [
  /^dist\/[\w/-]+(\.d\.ts|\.js)$/,
  /^dist\/history\/redis\/publish\.lua$/,
  /^examples\/guides\/[\w-]+\.md$/,
  /^(CHANGELOG\.md|LICENSE|README\.md|package\.json)$/
]

const BODY = `
async function main() {
  if (typeof openSharedEventStream !== 'function' || storeCases.length === 0) throw new Error('an entry is empty')
  const app = Fastify()
  await app.register(eventStream)
  const news = app.sse.channel('news')
  app.get('/', async (request, reply) => {
    news.subscribe(reply.sseStart())
  })
  const stream = await injectStream(app, '/')
  await news.publish({ event: 'hello', data: { from: 'a package' } })
  const { event, data } = await stream.next('hello')
  if (event !== 'hello' || data !== '{"from":"a package"}') throw new Error('got ' + event + ': ' + data)
  await stream.abort()
  const received = openEventStream((await app.listen({ port: 0 })) + '/', { lastEventId: stream.lastEventId })
  await news.publish('after it')
  for await (const { data } of received) {
    if (data !== 'after it') throw new Error('got ' + data)
    break
  }
  await app.close()
  console.log('it works')
}
`
const ESM = `
import Fastify from 'fastify'
import eventStream from 'fastify-eventstream'
import { openEventStream } from 'fastify-eventstream/client'
import { openSharedEventStream } from 'fastify-eventstream/client/shared'
import { storeCases } from 'fastify-eventstream/conformance'
import { injectStream } from 'fastify-eventstream/testing'
${BODY}
await main()
`
const COMMON_JS = `
const Fastify = require('fastify')
const { default: eventStream } = require('fastify-eventstream')
const { openEventStream } = require('fastify-eventstream/client')
const { openSharedEventStream } = require('fastify-eventstream/client/shared')
const { storeCases } = require('fastify-eventstream/conformance')
const { injectStream } = require('fastify-eventstream/testing')
${BODY}
main()
`
const TYPED = `
import Fastify from 'fastify'
import eventStream, { eventStream as named, type SSEConnection } from 'fastify-eventstream'
import { openEventStream } from 'fastify-eventstream/client'
import { openSharedEventStream } from 'fastify-eventstream/client/shared'
import { type StoreCase, storeCases } from 'fastify-eventstream/conformance'
import { injectStream } from 'fastify-eventstream/testing'

export const cases: readonly StoreCase[] = storeCases

export function read(): void {
  for (const open of [openEventStream<{ tick: number }>, openSharedEventStream<{ tick: number }>]) {
    const stream = open('http://localhost/', { parse: { tick: Number } })
    stream.on('tick', ({ data }) => data.toFixed())
    // @ts-expect-error there is no such event
    stream.on('tock', () => {})
  }
}

export async function main(): Promise<string> {
  const app = Fastify()
  await app.register(eventStream, { heartbeatMs: 5_000 })
  await app.register(named, { history: { maxTotalBytes: 1_000_000 } })
  app.get('/', { eventStream: { events: { tick: { type: 'object' } } } }, async (request, reply) => {
    const sse: SSEConnection<{ tick: number }> = reply.sseStart<{ tick: number }>()
    await sse.send({ event: 'tick', data: 1 })
    // @ts-expect-error the data is a number
    await sse.send({ event: 'tick', data: 'one' })
  })
  return (await (await injectStream(app, '/')).next('tick')).data
}
`

/** Installs the package as it would be published in empty projects, and runs and type-checks what uses it. */
async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'package-'))
  try {
    const tarball = pack(dir)
    for (const [name, file, code] of [
      ['ESM', 'index.mjs', ESM],
      ['CommonJS', 'index.cjs', COMMON_JS]
    ] as const) {
      const project = install(dir, name, [tarball, 'fastify'])
      writeFileSync(join(project, file), code)
      console.log(`${name}: ${run(project, process.execPath, [file]).trim()}`)
    }
    for (const project of PROJECTS) {
      checkTypes(dir, tarball, project)
      console.log(`TypeScript ${project.version}, ${project.type}: no errors`)
    }
    await followGuide(dir, tarball)
    console.log('the first project: does what its guide says')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function pack(dir: string): string {
  const [packed] = JSON.parse(run(REPOSITORY, 'npm', ['pack', '--json', '--pack-destination', dir])) as [
    { filename: string; size: number; files: { path: string }[] }
  ]
  const { filename, size } = packed
  const files = packed.files.map(({ path }) => path)
  console.log(`${filename}: ${size} bytes, ${files.length} files`)
  if (size > MAX_BYTES) throw new Error(`the package takes more than ${MAX_BYTES} bytes`)
  const others = files.filter((path) => !CONTENTS.some((pattern) => pattern.test(path)))
  const missing = expectedFiles().filter((path) => !files.includes(path))
  if (others.length + missing.length > 0) throw new Error(`not to be packed: ${others}; missing: ${missing}`)
  return join(dir, filename)
}

/** What the entries of the package lead to, and the guides. */
function expectedFiles(): string[] {
  const { exports } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Record<string, string>>
  }
  const targets = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? entry : Object.values(entry)
  )
  const guides = readdirSync(join(REPOSITORY, 'examples/guides'))
  return [
    ...targets.map((path) => path.slice('./'.length)),
    ...guides.map((name) => `examples/guides/${name}`)
  ]
}

/** Does what the guide to a first project says, by its own commands, with the package that is packed. */
async function followGuide(dir: string, tarball: string): Promise<void> {
  const project = join(dir, 'first-project')
  mkdirSync(project)
  const guide = readFileSync(join(REPOSITORY, 'examples/guides/first-stream.md'), 'utf8')
  const [setUp = '', ...later] = [...guide.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  const commands = later.join('').trim().split('\n')
  const command = (start: string): string => commands.find((line) => line.startsWith(start)) ?? `no ${start}`
  run(project, 'sh', ['-ec', setUp.replace('fastify-eventstream', tarball)])
  const files = guide.matchAll(/^```\w+\n(?:\/\/|<!--) (\S+)(?: -->)?\n([\s\S]*?)^```$/gm)
  for (const [, name = '', code = ''] of files) writeFileSync(join(project, name), code)
  run(project, 'sh', ['-ec', command('npx esbuild')])
  run(project, 'sh', ['-ec', command('npx tsc')])
  if (!existsSync(join(project, 'public/page.js'))) throw new Error('no page was built')
  const server = spawn('sh', ['-ec', command('npx tsx')], {
    cwd: project,
    detached: true,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  try {
    const url = await listeningUrl(server.stdout)
    const publish = command('curl http://localhost:3000/messages').replace('http://localhost:3000', url)
    const { id } = JSON.parse(run(project, 'sh', ['-ec', publish]))
    run(project, 'sh', ['-ec', publish.replace('Hello', 'Again')])
    const { data } = await readEvents(await fetch(`${url}/events?lastEventId=${id}`)).next('said')
    if (JSON.parse(data).text !== 'Again') throw new Error(`after the first message came ${data}`)
    const page = await (await fetch(url)).text()
    if (!page.includes('src="/page.js"')) throw new Error(`the page is ${page}`)
  } finally {
    if (server.pid !== undefined) process.kill(-server.pid)
  }
}

/** Where a server says that it listens. */
async function listeningUrl(log: Readable): Promise<string> {
  let text = ''
  for await (const chunk of log.iterator({ destroyOnReturn: false })) {
    text += chunk
    const [, url] = /Server listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(text) ?? []
    if (url !== undefined) {
      log.resume()
      return url
    }
  }
  throw new Error(`the server ended: ${text}`)
}

function install(dir: string, name: string, packages: readonly string[], type = 'commonjs'): string {
  const project = join(dir, name)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type }))
  run(project, 'npm', ['install', '--no-audit', '--no-fund', ...packages])
  return project
}

function checkTypes(
  dir: string,
  tarball: string,
  { version, type, ...options }: (typeof PROJECTS)[number]
): void {
  const packages = [tarball, 'fastify', `typescript@${version}`, '@types/node@20']
  const project = install(dir, `typescript-${version}-${type}`, packages, type)
  const compilerOptions = {
    ...options,
    strict: true,
    esModuleInterop: true,
    target: 'es2022',
    noEmit: true,
    types: ['node']
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['index.ts'] }))
  writeFileSync(join(project, 'index.ts'), TYPED)
  run(project, join(project, 'node_modules/.bin/tsc'), [])
}

/** @returns what it printed. @throws what it printed, if it fails. */
function run(cwd: string, command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  }
}

await main()
