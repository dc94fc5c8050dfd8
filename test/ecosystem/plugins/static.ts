import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import { type Row, versioned } from '../row.ts'
import { TLS } from '../stream-client.ts'

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url))

export const staticRow: Row = {
  name: versioned('@fastify/static'),
  shows: 'goes on beside the files of the same server',
  async run(stage) {
    const app = await stage.build((app) => app.register(fastifyStatic, { root }))
    const streams = stage.addStream(app)
    app.get('/sent', async (_request, reply) => await reply.sendFile('cert.pem'))
    const url = await stage.listen(app)
    const client = await stage.open(`${url}/events`)
    for (const path of ['/cert.pem', '/sent']) {
      const file = await fetch(`${url}${path}`)
      assert.equal(await file.text(), TLS.cert.toString())
    }
    assert.equal((await fetch(`${url}/events.html`)).status, 404)
    await streams[0]?.send('later')
    await client.until('later')
  }
}
