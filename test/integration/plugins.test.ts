import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import session from '@fastify/session'
import t from 'tap'
import { RawClient } from '../helpers/raw-client.ts'
import { build, listen } from '../helpers/server.ts'

declare module 'fastify' {
  interface Session {
    user?: string
  }
}

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

t.test('@fastify/cookie › cookies that the handler sets are on the head', async (t) => {
  const app = await build(t)
  await app.register(cookie)
  app.get('/', async (_request, reply) => {
    reply.setCookie('a', '1').setCookie('b', '2')
    reply.sseStart().close()
  })
  const { url } = await listen(app)
  const response = await fetch(url)
  t.match(response.headers.getSetCookie(), [/^a=1(;|$)/, /^b=2(;|$)/])
  t.equal(await response.text(), FAREWELL)
})

t.test('@fastify/session › a session that the handler changes is saved before the head', async (t) => {
  const app = await build(t)
  await app.register(cookie)
  await app.register(session, { secret: 'a secret of at least 32 characters', cookie: { secure: false } })
  app.get('/', async (request, reply) => {
    request.session.set('user', 'ada')
    reply.sseStart().close()
  })
  app.get('/who', async (request) => request.session.get('user'))
  const { url } = await listen(app)
  const response = await fetch(url)
  t.equal(await response.text(), FAREWELL)
  const [setCookie = ''] = response.headers.getSetCookie()
  t.match(setCookie, /^sessionId=/)
  const who = await fetch(`${url}/who`, { headers: { cookie: String(setCookie.split(';')[0]) } })
  t.equal(await who.text(), 'ada')
})

t.test('@fastify/cors and @fastify/helmet › their headers are on the head', async (t) => {
  const app = await build(t)
  await app.register(cors, { origin: 'https://example.com', credentials: true })
  await app.register(helmet)
  app.get('/', async (_request, reply) => {
    reply.sseStart().close()
  })
  const { url } = await listen(app)
  const response = await fetch(url, { headers: { origin: 'https://example.com' } })
  t.equal(response.headers.get('access-control-allow-origin'), 'https://example.com')
  t.equal(response.headers.get('access-control-allow-credentials'), 'true')
  t.equal(response.headers.get('x-content-type-options'), 'nosniff')
  t.equal(await response.text(), FAREWELL)
})

t.test('@fastify/compress › leaves the stream alone', async (t) => {
  const app = await build(t)
  await app.register(compress, { threshold: 0 })
  app.get('/', async (_request, reply) => {
    await reply.sseStart().send('at once')
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/', { 'Accept-Encoding': 'gzip, br' })
  await client.until('data: at once\n\n')
  t.notMatch(client.head.toLowerCase(), 'content-encoding')
  client.socket.destroy()
})

t.test('@fastify/rate-limit › counts streams, and refuses one too many', async (t) => {
  const app = await build(t)
  await app.register(rateLimit, { max: 1 })
  app.get('/', async (_request, reply) => {
    reply.sseStart().close()
  })
  const { url } = await listen(app)
  const first = await fetch(url)
  t.equal(first.headers.get('x-ratelimit-remaining'), '0')
  t.equal(await first.text(), FAREWELL)
  t.equal((await fetch(url)).status, 429)
})
