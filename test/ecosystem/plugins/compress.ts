import assert from 'node:assert/strict'
import compress from '@fastify/compress'
import { type Row, versioned } from '../row.ts'

export const compressRow: Row = {
  name: versioned('@fastify/compress'),
  shows: 'is not compressed nor held back, while other routes are compressed',
  async run(stage) {
    const app = await stage.build((app) => app.register(compress, { global: true, threshold: 0 }))
    const streams = stage.addStream(app)
    app.get('/plain', async () => ({ hello: 'world' }))
    const url = await stage.listen(app)
    const client = await stage.open(`${url}/events`, { 'accept-encoding': 'gzip, br' })
    assert.equal(client.headers['content-encoding'], undefined)
    await streams[0]?.send('later')
    await client.until('later')
    const plain = await stage.get(`${url}/plain`, { 'accept-encoding': 'gzip, br' })
    assert.match(String(plain.headers['content-encoding']), /^(gzip|br)$/)
  }
}
