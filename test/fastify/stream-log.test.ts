import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import { requestLogging } from '../../lib/fastify/stream-log.ts'

// What the installed Fastify does is in `integration/takeover.test.ts`.
t.test('requestLogging › a Fastify without a LogController has its option', async (t) => {
  const isLogged = (disableRequestLogging: unknown, url: string): boolean =>
    requestLogging({ initialConfig: { disableRequestLogging } } as FastifyInstance)({ url } as FastifyRequest)
  const isHealth = ({ url }: FastifyRequest): boolean => url === '/health'
  for (const url of ['/', '/health']) {
    t.equal(isLogged(undefined, url), true)
    t.equal(isLogged(false, url), true)
    t.equal(isLogged(true, url), false)
    t.equal(isLogged(isHealth, url), url === '/')
  }
})
