import assert from 'node:assert/strict'
import caching from '@fastify/caching'
import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import etag from '@fastify/etag'
import helmet from '@fastify/helmet'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import { fastifyRequestContext } from '@fastify/request-context'
import session from '@fastify/session'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { Row } from '../row.ts'

const ORIGIN = 'https://example.com'

export const togetherRow: Row = {
  name: 'twelve of these',
  shows: 'has the headers and cookies of all of them, and each event comes at once',
  async run(stage) {
    const app = await stage.build(registerTwelve)
    const streams = stage.addStream(app, {
      before: (request, reply) => {
        request.session.set('user', 'ada')
        reply.setCookie('seen', 'yes')
      }
    })
    const url = `${await stage.listen(app)}/events`
    const client = await stage.open(url, { origin: ORIGIN, 'accept-encoding': 'gzip, br' })
    const { headers } = client
    assert.equal(headers['access-control-allow-origin'], ORIGIN)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['x-ratelimit-remaining'], '9')
    assert.match(String(headers['cache-control']), /no-cache/)
    assert.equal(headers['content-encoding'], undefined)
    assert.equal(headers.etag, undefined)
    const cookies = headers['set-cookie'] ?? []
    assert.deepEqual(cookies.map((line) => line.split('=')[0]).sort(), ['seen', 'sessionId'])
    await streams[0]?.send('later')
    await client.until('later')
  }
}

async function registerTwelve(app: FastifyInstance): Promise<void> {
  await app.register(helmet)
  await app.register(cors, { origin: ORIGIN, credentials: true })
  await app.register(compress, { global: true, threshold: 0 })
  await app.register(etag)
  await app.register(caching, { privacy: caching.privacy.PUBLIC, expiresIn: 300 })
  await app.register(cookie)
  await app.register(session, { secret: 'a secret of at least 32 characters', cookie: { secure: false } })
  await app.register(jwt, { secret: 'a secret of the server' })
  await app.register(rateLimit, { max: 10 })
  await app.register(underPressure, { maxEventLoopDelay: 60_000 })
  await app.register(fastifyRequestContext)
  await app.register(websocket)
}
