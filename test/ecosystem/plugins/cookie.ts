import assert from 'node:assert/strict'
import cookie from '@fastify/cookie'
import { type Row, versioned } from '../row.ts'

export const cookieRow: Row = {
  name: versioned('@fastify/cookie'),
  shows: 'sets the cookies of its handler and of `onSend` hooks, and ends when the server ends it',
  async run(stage) {
    const app = await stage.build((app) => app.register(cookie))
    app.addHook('onSend', async (_request, reply) => {
      reply.setCookie('hook', '3')
    })
    const streams = stage.addStream(app, {
      before: (_request, reply) => {
        reply.setCookie('first', '1').setCookie('second', '2')
      }
    })
    const client = await stage.open(`${await stage.listen(app)}/events`)
    const cookies = (client.headers['set-cookie'] ?? []).map((line) => line.split(';')[0])
    assert.deepEqual(cookies.sort(), ['first=1', 'hook=3', 'second=2'])
    streams[0]?.close()
    await client.ended
  }
}
