import type { AnyRouter } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import type { FastifyInstance } from 'fastify'
import type {} from '../../lib/index.ts' // 'fastify-eventstream' in your project

const endpoint = '/trpc'

/** tRPC, whose subscriptions are streams of this plugin. @param retryMs after which a client that was cut comes back. */
export async function trpc(
  app: FastifyInstance,
  { router, retryMs = 1000 }: { router: AnyRouter; retryMs?: number }
): Promise<void> {
  app.removeContentTypeParser('application/json') // the SDK does that
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, body)
  )
  app.all(`${endpoint}/*`, async (request, reply) => {
    const { method, url, host, protocol, signal } = request
    const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [
      name,
      String(value)
    ])
    const body = typeof request.body === 'string' ? request.body : null
    const req = new Request(`${protocol}://${host}${url}`, { method, headers, body, signal })
    const response = await fetchRequestHandler({ endpoint, req, router })
    if (response.headers.get('content-type') !== 'text/event-stream') return response
    const sse = reply.sseStart({ farewell: false }) // the SDK has a last event of its own
    await sse.send({ retry: retryMs })
    await sse.sendAll(response)
    sse.close()
  })
}
