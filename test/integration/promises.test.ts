import t, { type Test } from 'tap'
import type { EventStreamOptions, SSEConnection } from '../../lib/index.ts'
import { build, nextTurn } from '../helpers/server.ts'

/** An answer for which nobody waits. */
const late = (async () => {
  throw new Error('too late')
}) as () => never

/** What a handler does with its stream, and the options of the plugin. */
type Case = [does: (sse: SSEConnection) => unknown, plugin?: EventStreamOptions]

const REFUSED: Record<string, Case> = {
  'what a map gives': [(sse) => sse.sendAll([1], late)],
  'what a serializer gives': [(sse) => sse.send({ data: {} }), { serializer: late }],
  'what a farewell gives': [(sse) => sse.close(), { farewell: late }],
  'what a keyGenerator gives': [() => {}, { limit: { maxPerKey: 1, keyGenerator: late } }],
  'a message': [(sse) => sse.send(late())],
  data: [(sse) => sse.send({ data: late() as unknown })],
  'what an iterable gives': [(sse) => sse.sendAll([late()])],
  'a source': [(sse) => sse.sendAll(late())],
  'what is published': [({ request }) => request.server.sse.channel('a').publish(late())],
  'what the map of a run gives': [
    async ({ request }) => {
      const { run } = await request.server.sse.runs.start('a', () => [1], { map: late })
      await run.ended
    }
  ]
}

/** Those that end the process otherwise. */
function unhandled(t: Test): unknown[] {
  const reasons: unknown[] = []
  const note = (reason: unknown): void => void reasons.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  return reasons
}

t.test('a promise that is refused, and rejects, is no unhandled rejection', async (t) => {
  for (const [what, [does, plugin]] of Object.entries(REFUSED)) {
    t.test(what, async (t) => {
      const reasons = unhandled(t)
      const app = await build(t, plugin)
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        await does(sse)
        sse.close()
      })
      await app.inject('/')
      await nextTurn()
      t.same(reasons, [])
    })
  }
})
