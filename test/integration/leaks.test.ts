import t from 'tap'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, listen, until } from '../helpers/server.ts'

const warnings: Error[] = []
process.on('warning', (warning) => warnings.push(warning))

/** What keeps the process alive, without what comes and goes by itself. */
function resources(): string[] {
  return process.getActiveResourcesInfo().sort()
}

t.test('nothing is left of streams that have ended', async (t) => {
  const app = await build(t, { heartbeatMs: 50 })
  app.route({
    method: ['GET', 'POST'],
    url: '/',
    handler: async (_request, reply) => {
      const sse = reply.sseStart({ maxAgeMs: 60_000 })
      sse.signal.addEventListener('abort', () => {})
      await sse.send('hello')
      await sse.closed
    }
  })
  const { port } = await listen(app)
  const plain = RawClient.get(port, '/nowhere', { Connection: 'close' })
  await plain.closed
  const { server } = app
  const events = server.eventNames()
  const before = [resources(), events.map((event) => server.listenerCount(event))]

  const leave = [
    (client: RawClient) => client.socket.destroy(),
    (client: RawClient) => client.socket.resetAndDestroy(),
    (client: RawClient) => client.socket.end(),
    (client: RawClient) => client.socket.write('garbage\r\n\r\n'),
    (client: RawClient) => client.socket.write(request('GET', '/').repeat(50))
  ]
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      leave.map(async (act) => {
        const client = RawClient.get(port, '/')
        await client.until('hello')
        act(client)
        await client.closed
      })
    )
  }
  const pipelined = RawClient.connect(port, request('GET', '/').repeat(50))
  await pipelined.closed
  await until(() => app.sse.connections.size === 0)
  await until(() => resources().length <= (before[0]?.length ?? 0))

  t.same([resources(), events.map((event) => server.listenerCount(event))], before)
  t.same(server.eventNames(), events)
  t.equal(app.sse.stats().connections, 0)
  t.same(warnings, [])
})
