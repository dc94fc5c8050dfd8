/**
 * The smallest stream: a clock. Start it with `npx tsx examples/hello.ts`, then open the page, or:
 *
 *     curl -N http://localhost:3000/clock
 */
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

const app = Fastify({ logger: true })
await app.register(eventStream)

app.get('/clock', async (_request, reply) => {
  const sse = reply.sseStart()
  while (!sse.signal.aborted) {
    await sse.send({ event: 'tick', data: { now: new Date() } })
    await setTimeout(1_000)
  }
})

app.get('/', (_request, reply) => {
  reply.type('text/html; charset=utf-8').send(`<!doctype html>
    <title>Clock</title>
    <output>Connecting…</output>
    <script>
      const output = document.querySelector('output')
      const source = new EventSource('/clock')
      source.addEventListener('tick', ({ data }) => { output.textContent = JSON.parse(data).now })
      source.addEventListener('error', () => { output.textContent = 'Reconnecting…' })
    </script>`)
})

await app.listen({ port: Number(process.env.PORT ?? 3000) })
