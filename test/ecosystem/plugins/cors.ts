import assert from 'node:assert/strict'
import cors from '@fastify/cors'
import { type Row, versioned } from '../row.ts'

const ORIGIN = 'https://example.com'

export const corsRow: Row = {
  name: versioned('@fastify/cors'),
  shows: 'has the headers that let another origin read it with credentials, also when it comes back',
  async run(stage) {
    const app = await stage.build((app) => app.register(cors, { origin: ORIGIN, credentials: true }))
    stage.addStream(app)
    const url = `${await stage.listen(app)}/events`
    for (const resume of [{}, { 'last-event-id': '1' }]) {
      const { headers } = await stage.open(url, { origin: ORIGIN, ...resume })
      assert.equal(headers['access-control-allow-origin'], ORIGIN)
      assert.equal(headers['access-control-allow-credentials'], 'true')
    }
  }
}
