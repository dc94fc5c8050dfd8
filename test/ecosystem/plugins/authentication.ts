import assert from 'node:assert/strict'
import auth from '@fastify/auth'
import jwt from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import { type Row, versioned } from '../row.ts'

export const jwtRow: Row = {
  name: versioned('@fastify/jwt'),
  shows: 'needs a token: `401` as JSON without one, and with one its handler knows the user',
  async run(stage) {
    const app = await stage.build((app) => app.register(jwt, { secret: 'a secret of the server' }))
    stage.addStream(app, {
      options: { onRequest: (request: FastifyRequest) => request.jwtVerify() },
      after: ({ user }, stream) =>
        void stream.send(JSON.stringify(user).includes('ada') ? 'for-ada' : 'for-nobody')
    })
    const url = `${await stage.listen(app)}/events`
    await assertRefused(url)
    await assertRefused(url, { authorization: `Bearer ${app.jwt.sign({ name: 'ada' })}x` })
    const client = await stage.open(url, { authorization: `Bearer ${app.jwt.sign({ name: 'ada' })}` })
    await client.until('for-ada')
  }
}

export const authRow: Row = {
  name: versioned('@fastify/auth'),
  shows: 'needs one of two ways to prove who asks: `401` as JSON without any',
  async run(stage) {
    const app = await stage.build((app) => app.register(auth))
    stage.addStream(app, { options: { preHandler: app.auth([verifyKey, verifyTicket]) } })
    const url = `${await stage.listen(app)}/events`
    await assertRefused(url)
    await assertRefused(url, { 'x-key': 'wrong' })
    await stage.open(url, { 'x-key': 'key' })
    await stage.open(`${url}?ticket=ticket`)
  }
}

function verifyKey({ headers }: FastifyRequest, _reply: unknown, done: (error?: Error) => void): void {
  done(headers['x-key'] === 'key' ? undefined : unauthorized())
}

function verifyTicket({ query }: FastifyRequest, _reply: unknown, done: (error?: Error) => void): void {
  const { ticket } = query as { ticket?: string }
  done(ticket === 'ticket' ? undefined : unauthorized())
}

function unauthorized(): Error {
  return Object.assign(new Error('Who are you?'), { statusCode: 401 })
}

async function assertRefused(url: string, headers: Record<string, string> = {}): Promise<void> {
  const response = await fetch(url, { headers })
  assert.equal(response.status, 401)
  assert.equal(((await response.json()) as { statusCode: number }).statusCode, 401)
}
