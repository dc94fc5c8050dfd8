/**
 * A stream for those who are logged in, which ends when their session does.
 *
 *     curl -c jar http://localhost:3000/login --json '{ "user": "ada", "password": "lovelace" }'
 *     curl -b jar -N http://localhost:3000/events
 */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

declare module 'fastify' {
  interface Session {
    user?: string
  }
}

const {
  PORT = '3000',
  SESSION_SECONDS = '900',
  SESSION_SECRET = randomBytes(32).toString('hex')
} = process.env
const maxAge = Number(SESSION_SECONDS) * 1_000

const app = Fastify({ logger: true })
await app.register(cookie)
await app.register(session, { secret: SESSION_SECRET, cookie: { maxAge, secure: 'auto', sameSite: 'lax' } })
await app.register(eventStream)

const body = {
  type: 'object',
  required: ['user', 'password'],
  properties: { user: { type: 'string' }, password: { type: 'string' } }
}

app.post<{ Body: { user: string; password: string } }>(
  '/login',
  { schema: { body } },
  async (request, reply) => {
    const { user, password } = request.body
    if (user !== 'ada' || password !== 'lovelace') return reply.code(401).send({ message: 'Wrong password' })
    await request.session.regenerate()
    request.session.user = user
    return { user }
  }
)

app.get('/events', async (request, reply) => {
  const { user, cookie } = request.session
  if (user === undefined) return reply.code(401).send({ message: 'Log in first' }) // ends an EventSource for good
  const sse = reply.sseStart(cookie.expires ? { expiresAt: cookie.expires } : {})
  for (let visit = 1; !sse.signal.aborted; visit++) {
    await sse.send({ event: 'greeting', data: { user, visit } })
    await setTimeout(1_000)
  }
})

await app.listen({ port: Number(PORT) })
