import assert from 'node:assert/strict'
import helmet from '@fastify/helmet'
import { type Row, versioned } from '../row.ts'

export const helmetRow: Row = {
  name: versioned('@fastify/helmet'),
  shows: 'has the security headers',
  async run(stage) {
    const app = await stage.build((app) => app.register(helmet))
    stage.addStream(app)
    const { headers } = await stage.open(`${await stage.listen(app)}/events`)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.match(String(headers['content-security-policy']), /default-src 'self'/)
  }
}
