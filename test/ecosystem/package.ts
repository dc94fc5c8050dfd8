import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the package may take when it is downloaded. */
const MAX_BYTES = 185_000
/** TypeScript knows from 5.8 on that CommonJS may `require()` ES modules, and gives `node10` up in 7. */
const PROJECTS = [
  { version: '5.4', type: 'module', module: 'nodenext', moduleResolution: 'nodenext' },
  { version: '5.4', type: 'commonjs', module: 'commonjs', moduleResolution: 'node10' },
  { version: 'latest', type: 'module', module: 'nodenext', moduleResolution: 'nodenext' },
  { version: 'latest', type: 'commonjs', module: 'nodenext', moduleResolution: 'nodenext' }
]
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))

const BODY = `
async function main() {
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
  await app.close()
  console.log('it works')
}
`
const ESM = `
import Fastify from 'fastify'
import eventStream from 'fastify-eventstream'
import { injectStream } from 'fastify-eventstream/testing'
${BODY}
await main()
`
const COMMON_JS = `
const Fastify = require('fastify')
const { default: eventStream } = require('fastify-eventstream')
const { injectStream } = require('fastify-eventstream/testing')
${BODY}
main()
`
const TYPED = `
import Fastify from 'fastify'
import eventStream, { eventStream as named, type SSEConnection } from 'fastify-eventstream'
import { injectStream } from 'fastify-eventstream/testing'

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
function main(): void {
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
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function pack(dir: string): string {
  const [packed] = JSON.parse(run(REPOSITORY, 'npm', ['pack', '--json', '--pack-destination', dir])) as [
    { filename: string; size: number; entryCount: number }
  ]
  const { filename, size, entryCount } = packed
  console.log(`${filename}: ${size} bytes, ${entryCount} files`)
  if (size > MAX_BYTES) throw new Error(`the package takes more than ${MAX_BYTES} bytes`)
  return join(dir, filename)
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

main()
