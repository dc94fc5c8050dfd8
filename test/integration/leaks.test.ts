import type { Server, Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import t from 'tap'
import eventStream from '../../lib/index.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, listen, until } from '../helpers/server.ts'

const HEARTBEAT_MS = 50
/** More than the listeners of one event of which Node warns. */
const ROUNDS = 12

const LEAVE = [
  (client: RawClient) => client.socket.destroy(),
  (client: RawClient) => client.socket.resetAndDestroy(),
  (client: RawClient) => client.socket.end(),
  (client: RawClient) => client.socket.write('garbage\r\n\r\n'),
  (client: RawClient) => client.socket.write(request('GET', '/').repeat(50))
]

const warnings: Error[] = []
process.on('warning', (warning) => warnings.push(warning))

/** What keeps the process alive, and what the server listens for. */
function state(server: Server): unknown[] {
  const listeners = server.eventNames().map((event) => [event, server.listenerCount(event)])
  return [process.getActiveResourcesInfo().sort(), listeners]
}

/** The sockets of a server that are open. */
function openSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

t.test('nothing is left of streams that have ended', (t) =>
  FakeClock.run(async (clock) => {
    const app = await build(t, { heartbeatMs: HEARTBEAT_MS })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ maxAgeMs: 60_000 })
      sse.signal.addEventListener('abort', () => {})
      await sse.send('hello')
      await sse.closed
    })
    const { port } = await listen(app)
    const sockets = openSockets(app.server)
    const plain = RawClient.get(port, '/nowhere', { Connection: 'close' })
    await plain.closed
    await until(() => sockets.size === 0)
    const [before, timers] = [state(app.server), clock.pending]

    for (let round = 0; round < ROUNDS; round++) {
      const visits = LEAVE.map((leave) => ({ leave, client: RawClient.get(port, '/') }))
      await Promise.all(visits.map(({ client }) => client.until('hello')))
      clock.advance(HEARTBEAT_MS)
      for (const { leave, client } of visits) leave(client)
      await Promise.all(visits.map(({ client }) => client.closed))
    }
    const pipelined = RawClient.connect(port, request('GET', '/').repeat(50))
    await pipelined.closed
    await until(() => sockets.size === 0)

    t.same([state(app.server), clock.pending], [before, timers])
    t.equal(app.sse.connections.size, 0)
    t.same(warnings, [])
  })
)

t.test('applications that are never closed are freed', async (t) => {
  const apps: WeakRef<object>[] = []
  for (let i = 0; i < 20; i++) {
    const app = Fastify()
    await app.register(eventStream)
    app.get('/', async (_request, reply) => reply.sseStart().close())
    await app.inject('/')
    apps.push(new WeakRef(app))
  }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What the last one has left on the stack may stay.
  await until(() => {
    collect()
    return apps.filter((app) => app.deref() !== undefined).length <= 1
  })
  t.pass()
})

t.test('many scopes have one listener for each event of the server', async (t) => {
  const counts: unknown[] = []
  for (const scopes of [1, ROUNDS]) {
    const app = Fastify({ http2: true } as object)
    t.teardown(() => app.close())
    for (let i = 0; i < scopes; i++) {
      app.register(async (scope) => void (await scope.register(eventStream)))
    }
    await app.ready()
    counts.push(state(app.server).at(-1))
  }
  t.same(counts[0], counts[1])
  t.same(warnings, [])
})
