import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { programs } from './helpers/manual.ts'
import { RedisServer } from './helpers/programs/redis-server.ts'
import { RawClient } from './helpers/raw-client.ts'
import { runTypeScript } from './helpers/run-typescript.ts'
import { listen } from './helpers/server.ts'

t.test('manual › with Redis, what one node publishes reaches the subscribers of another', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const node = async (code: string): Promise<FastifyInstance> => {
    const app = Fastify()
    t.teardown(() => app.close())
    const url = redis.url
    const program = code.replace('redis://localhost:6379', url)
    await runTypeScript(program, { app })
    app.get('/news', async (_request, reply) => {
      app.sse.channel('news').subscribe(reply.sseStart(), { from: 'oldest' })
    })
    return app
  }
  const ways = programs().examples.filter((code) => code.includes('redisStore('))
  t.equal(ways.length, 3)
  for (const code of ways) {
    const [a, b] = [await node(code), await node(code)]
    const client = RawClient.get((await listen(b)).port, '/news')
    const id = await a.sse.channel('news').publish('hello')
    await client.until(new RegExp(`id: ${id}\\ndata: hello\\n\\n`))
    client.socket.destroy()
  }
})
