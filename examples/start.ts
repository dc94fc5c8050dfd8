/** `npm start`: all examples on one page, each with its source. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import Fastify from 'fastify'
import answers from './answers.ts'
import chat from './chat.ts'
import dashboard from './demo/server.ts'
import manyNodes from './many-nodes.ts'
import manyTabs from './many-tabs.ts'
import { redisUrl } from './redis.ts'
import buildLog from './resume.ts'

/** By their places below the page: what makes each of them, and in which files it is. */
const EXAMPLES = {
  dashboard: { plugin: dashboard, sources: ['demo/server.ts', 'demo/public'] },
  chat: { plugin: chat, sources: ['chat.ts', 'chat'] },
  answers: { plugin: answers, sources: ['answers.ts', 'answers'] },
  'build-log': { plugin: buildLog, sources: ['resume.ts', 'resume'] },
  'many-tabs': { plugin: manyTabs, sources: ['many-tabs.ts', 'many-tabs'] },
  'many-nodes': { plugin: manyNodes, sources: ['many-nodes.ts', 'many-nodes', 'redis.ts'] }
}

const { PORT = '3000', HOST = 'localhost' } = process.env
const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
/** What many nodes need, if that is not there. */
const need = await redisUrl().then(
  () => undefined,
  ({ message }: Error) => message
)
// The answers do without.
if (need !== undefined) delete process.env.REDIS_URL

for (const [name, { plugin, sources }] of Object.entries(EXAMPLES)) {
  if (plugin === manyNodes && need !== undefined) continue
  await app.register(plugin, { prefix: `/${name}` })
  app.get(`/source/${name}`, async (_request, reply) =>
    reply.type('text/html').send(await sourcePage(sources))
  )
}
app.get('/', async (_request, reply) => reply.type('text/html').send(await startPage()))
app.register(fastifyStatic, { root: join(import.meta.dirname, 'start') })

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

try {
  const address = await app.listen({ host: HOST, port: Number(PORT) })
  console.log(`All examples: ${HOST === 'localhost' ? `http://localhost:${new URL(address).port}` : address}`)
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
  console.error(`Port ${PORT} of ${HOST} is taken. Choose another one: PORT=${Number(PORT) + 1} npm start`)
  process.exitCode = 1
  await app.close()
}

async function startPage(): Promise<string> {
  const html = await readFile(join(import.meta.dirname, 'start/index.html'), 'utf8')
  if (need === undefined) return html
  const entry = /<a class="name" href="many-nodes\/".*?<\/p>/s
  return html.replace(entry, `<span class="name">Many nodes</span>\n            <p>${need}.</p>`)
}

/** What is in these files, and in those of these folders, but for how pages look. */
async function sourcePage(sources: readonly string[]): Promise<string> {
  const paths = (await Promise.all(sources.map(filesOf))).flat()
  const files = await Promise.all(
    paths.map(async (path) => {
      const code = await readFile(join(import.meta.dirname, path), 'utf8')
      return `<h2>examples/${path}</h2>\n<pre tabindex="0"><code>${escapeHtml(code)}</code></pre>`
    })
  )
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${sources[0]}</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="../source.css">
  </head>
  <body>
    <main>
      <h1>The source</h1>
${files.join('\n')}
    </main>
  </body>
</html>`
}

async function filesOf(path: string): Promise<string[]> {
  if (path.endsWith('.ts')) return [path]
  const names = await readdir(join(import.meta.dirname, path))
  return names.filter((name) => /\.(html|js)$/.test(name)).map((name) => `${path}/${name}`)
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
