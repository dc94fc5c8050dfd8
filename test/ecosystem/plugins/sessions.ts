import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { type Row, versioned } from '../row.ts'
import type { Stage } from '../stage.ts'

declare module 'fastify' {
  interface Session {
    user?: string
  }
}

/** Loaded by `require`, because its types and those of `@fastify/session` differ about `request.session`. */
const require = createRequire(import.meta.url)
const secureSession: FastifyPluginAsync<{ key: Buffer; cookie: object }> = require('@fastify/secure-session')

async function registerSession(app: FastifyInstance): Promise<void> {
  await app.register(cookie)
  await app.register(session, { secret: 'a secret of at least 32 characters', cookie: { secure: false } })
}

async function registerSecureSession(app: FastifyInstance): Promise<void> {
  await app.register(secureSession, { key: randomBytes(32), cookie: { path: '/' } })
}

export const sessionRows: readonly Row[] = [
  {
    name: versioned('@fastify/session'),
    shows: 'saves the session that its handler changed, and sets its cookie',
    run: (stage) => showSession(stage, registerSession)
  },
  {
    name: versioned('@fastify/secure-session'),
    shows: 'sets the cookie that holds the session that its handler changed',
    run: (stage) => showSession(stage, registerSecureSession)
  }
]

async function showSession(stage: Stage, register: (app: FastifyInstance) => Promise<void>): Promise<void> {
  const app = await stage.build(register)
  stage.addStream(app, { before: (request) => request.session.set('user', 'ada') })
  app.get('/who', async (request) => ({ user: request.session.get('user') }))
  const url = await stage.listen(app)
  const { headers } = await stage.open(`${url}/events`)
  const [setCookie = ''] = headers['set-cookie'] ?? []
  const who = await fetch(`${url}/who`, { headers: { cookie: String(setCookie.split(';')[0]) } })
  assert.deepEqual(await who.json(), { user: 'ada' })
}
