import Fastify from 'fastify'
import t from 'tap'
import eventStream from '../lib/index.ts'

t.test('a stream goes out', async (t) => {
  const app = Fastify()
  await app.register(eventStream)
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('hello')
    sse.close()
  })
  const response = await app.inject('/')
  t.equal(response.body, 'data: hello\n\nevent: close\ndata: Closing the connection\n\n')
  await app.close()
})
