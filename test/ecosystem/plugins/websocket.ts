import assert from 'node:assert/strict'
import { once } from 'node:events'
import websocket from '@fastify/websocket'
import { WebSocket } from 'undici'
import { type Row, versioned } from '../row.ts'

export const websocketRow: Row = {
  name: versioned('@fastify/websocket'),
  shows: "goes on beside a WebSocket of the same server, and the server's `close()` ends both",
  async run(stage) {
    const app = await stage.build((app) => app.register(websocket))
    const streams = stage.addStream(app)
    app.get('/echo', { websocket: true }, (socket) => {
      socket.on('message', (message: Buffer) => socket.send(`echo ${message}`))
    })
    const url = await stage.listen(app)
    const client = await stage.open(`${url}/events`)
    const socket = new WebSocket(`${url.replace('http', 'ws')}/echo`)
    const socketClosed = once(socket, 'close')
    await once(socket, 'open')
    const answered = once(socket, 'message')
    socket.send('hi')
    const [{ data }] = (await answered) as [{ data: unknown }]
    assert.equal(data, 'echo hi')
    await streams[0]?.send('later')
    await client.until('later')
    await Promise.all([app.close(), client.ended, socketClosed])
  }
}
