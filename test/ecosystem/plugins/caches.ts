import assert from 'node:assert/strict'
import caching from '@fastify/caching'
import etag from '@fastify/etag'
import { type Row, versioned } from '../row.ts'

export const etagRow: Row = {
  name: versioned('@fastify/etag'),
  shows: 'is neither held back for an ETag nor answered by `304`, while other routes have one',
  async run(stage) {
    const app = await stage.build((app) => app.register(etag))
    stage.addStream(app)
    app.get('/plain', async () => 'plain')
    const url = await stage.listen(app)
    const { etag: plain = '' } = (await stage.get(`${url}/plain`)).headers
    assert.notEqual(plain, '')
    assert.equal((await stage.get(`${url}/plain`, { 'if-none-match': plain })).status, 304)
    const { headers } = await stage.open(`${url}/events`, { 'if-none-match': plain })
    assert.equal(headers.etag, undefined)
  }
}

export const cachingRow: Row = {
  name: versioned('@fastify/caching'),
  shows: 'is not made cacheable, while other routes are',
  async run(stage) {
    const privacy = caching.privacy.PUBLIC
    const app = await stage.build((app) => app.register(caching, { privacy, expiresIn: 300 }))
    stage.addStream(app)
    app.get('/plain', async () => 'plain')
    const url = await stage.listen(app)
    const plain = await stage.get(`${url}/plain`)
    assert.equal(plain.headers['cache-control'], 'public, max-age=300')
    const stream = await stage.open(`${url}/events`)
    assert.match(String(stream.headers['cache-control']), /no-cache/)
    assert.doesNotMatch(String(stream.headers['cache-control']), /public|max-age=[1-9]/)
  }
}
