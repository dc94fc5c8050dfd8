import assert from 'node:assert/strict'
import rateLimit from '@fastify/rate-limit'
import { type Row, versioned } from '../row.ts'

export const rateLimitRow: Row = {
  name: versioned('@fastify/rate-limit'),
  shows: 'counts as one request, has the headers of the limit, and one too many is refused by `429`',
  async run(stage) {
    const app = await stage.build((app) => app.register(rateLimit, { max: 2 }))
    stage.addStream(app)
    const url = `${await stage.listen(app)}/events`
    for (const remaining of ['1', '0']) {
      const { headers } = await stage.open(url)
      assert.equal(headers['x-ratelimit-limit'], '2')
      assert.equal(headers['x-ratelimit-remaining'], remaining)
    }
    const refused = await fetch(url)
    assert.equal(refused.status, 429)
    assert.match(await refused.text(), /"statusCode":429/)
  }
}
