import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { within } from '../../lib/base/within.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

t.test('within()', async (t) => {
  t.test('rejects when the time is over', async (t) => {
    const clock = FakeClock.install(t)
    const answer = within(1, new Promise(() => {}))
    clock.advance(1)
    await t.rejects(answer, { message: 'it did not answer within 1 ms' })
  })

  t.test('an answer that came in time counts, also if the process was too busy to read it', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = connect(port, '127.0.0.1')
    const [socket] = await accepted
    t.teardown(() => {
      client.destroy()
      server.close()
    })
    const answer = within(1, once(client, 'data'))
    socket.end('answer')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    t.match(await answer, [Buffer.from('answer')])
  })
})
