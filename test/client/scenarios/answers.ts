import assert from 'node:assert/strict'
import type { FastifyReply } from 'fastify'
import type { Stage } from '../stage.ts'
import { assertStates, assertWhole, type Scenario } from './scenario.ts'

const REOPENED = 'connecting open waiting connecting open'

/** The stream gets on, and has everything. */
async function assertListens(
  stage: Stage,
  stream: Awaited<ReturnType<Stage['open']>>,
  states: string
): Promise<void> {
  await stage.untilListening(1)
  await stage.publish(3)
  const recording = await stream.count(stage.published.length)
  assertWhole(recording, stage)
  assertStates(recording, states)
}

/** Answers that are failures for now. */
function passing(...statuses: number[]): ((request: unknown, reply: FastifyReply) => unknown)[] {
  return statuses.map((status) => (_request, reply) => reply.code(status).send({ status }))
}

export const answers: readonly Scenario[] = [
  {
    name: 'a token has expired: new headers are asked for, once, and at once',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.code(401).send({ message: 'expired' }))
      const stream = await stage.open(
        "{ headers: async (refusal) => ({ authorization: refusal?.status === 401 ? 'new' : 'old' }) }"
      )
      await assertListens(stage, stream, 'connecting open')
      assert.deepEqual(
        stage.asked.map(({ authorization }) => authorization),
        ['old', 'new']
      )
    }
  },
  {
    name: 'a token is refused twice: that is the end, told once, with its status',
    async run(stage) {
      for (let i = 0; i < 2; i++)
        stage.answers.push((_request, reply) => reply.code(401).send({ message: 'no' }))
      const stream = await stage.open("{ headers: () => ({ authorization: 'old' }) }")
      const { reason, failure, failures, states } = await stream.until('failures > 0 && reason')
      assert.deepEqual([reason, failure?.status, failures], ['refused', 401, 1])
      assert.deepEqual(states, ['connecting', 'closed'])
      assert.equal(stage.asked.length, 2)
    }
  },
  {
    name: 'a token expires while the stream is open: the next attempt brings the next one',
    async run(stage) {
      const stream = await stage.open(
        "{ headers: () => ({ authorization: 'token ' + (globalThis.tokens = (globalThis.tokens ?? 0) + 1) }) }"
      )
      await assertListens(stage, stream, 'connecting open')
      stage.streams[0]?.destroy()
      await stage.untilAsked(2)
      await assertListens(stage, stream, REOPENED)
      const [first, second] = stage.asked.map(({ authorization }) => Number(authorization?.split(' ')[1]))
      assert.equal(second, Number(first) + 1)
    }
  },
  {
    name: 'a cookie or fixed headers are refused: nobody is asked again',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.code(401).send({ message: 'no' }))
      const stream = await stage.open("{ headers: { authorization: 'old' } }")
      const { failure } = await stream.ended()
      assert.deepEqual([failure?.reason, failure?.status, stage.asked.length], ['refused', 401, 1])
    }
  },
  {
    name: 'headers cannot be had for now: that is a failed attempt',
    async run(stage) {
      const stream = await stage.open(
        "{ headers: async () => { if ((globalThis.asked = (globalThis.asked ?? 0) + 1) < 3) throw new Error('no token'); return {} } }"
      )
      await assertListens(stage, stream, 'connecting waiting connecting waiting connecting open')
      assert.deepEqual((await stream.count(3)).causes, ['Error: no token', 'Error: no token'])
    }
  },
  {
    name: 'headers that are none are the end',
    async run(stage) {
      const stream = await stage.open("{ headers: () => ({ 'not a name': 'x' }) }")
      const { failure } = await stream.ended()
      assert.equal(failure?.reason, 'error')
      assert.match(String(failure?.cause), /^TypeError/)
      assert.equal(stage.asked.length, 0)
    }
  },
  ...[403, 404, 410].map(
    (status): Scenario => ({
      name: `${status} is the end, and its body can be read`,
      async run(stage) {
        stage.answers.push((_request, reply) => reply.code(status).send({ why: 'not for you' }))
        const tab = await stage.newTab()
        const stream = await stage.open('{}', { tab })
        const { reason, failure, failures } = await stream.until('failures > 0 && reason')
        assert.deepEqual([reason, failure?.status, failures], ['refused', status, 1])
        const body = await tab.evaluate('tab.last().stream.error.response.json()')
        assert.deepEqual(body, { why: 'not for you' })
      }
    })
  ),
  {
    name: 'another type than an event stream is the end',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.type('text/html').send('<p>Log in'))
      const { failure, states } = await (await stage.open()).ended()
      assert.deepEqual([failure?.reason, failure?.status], ['refused', 200])
      assert.deepEqual(states, ['connecting', 'closed'])
    }
  },
  {
    name: '429 with Retry-After: no request sooner',
    async run(stage) {
      const times: number[] = []
      stage.answers.push((_request, reply) => {
        times.push(performance.now())
        return reply.code(429).header('retry-after', '1').send({ message: 'later' })
      })
      stage.answers.push((request, reply) => {
        times.push(performance.now())
        return stage.listen(request, reply)
      })
      await assertListens(stage, await stage.open(), 'connecting waiting connecting open')
      const [first = 0, second = 0] = times
      assert.ok(second - first >= 995, `${second - first} ms`)
    }
  },
  {
    name: '503 with Retry-After as a date',
    async run(stage) {
      const times: number[] = []
      const date = new Date(Date.now() + 2_000).toUTCString()
      stage.answers.push((_request, reply) => {
        times.push(Date.parse(date))
        return reply.code(503).header('retry-after', date).send({ message: 'later' })
      })
      stage.answers.push((request, reply) => {
        times.push(Date.now())
        return stage.listen(request, reply)
      })
      await assertListens(stage, await stage.open(), 'connecting waiting connecting open')
      const [asked = 0, came = 0] = times
      assert.ok(came >= asked - 5, `${came - asked} ms`)
    }
  },
  {
    name: '500, 502, 503, 504, 425 and 429 are not the end',
    async run(stage) {
      stage.answers.push(...passing(500, 502, 503, 504, 425, 429))
      const stream = await stage.open()
      await assertListens(stage, stream, `${'connecting waiting '.repeat(6)}connecting open`)
      assert.deepEqual((await stream.count(3)).causes, ['500', '502', '503', '504', '425', '429'])
    }
  },
  {
    name: '408 is not the end',
    async run(stage) {
      stage.answers.push(...passing(408))
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(1)
      assertWhole(await stream.count(1), stage)
    }
  },
  {
    name: 'delays grow from one failure to the next, and begin anew after an event',
    async run(stage) {
      const times: number[] = []
      const fail = (_request: unknown, reply: FastifyReply): unknown => {
        times.push(performance.now())
        return reply.code(500).send({})
      }
      stage.answers.push(fail, fail, fail, fail, fail, fail)
      const stream = await stage.open('{ retryMs: 10, maxRetryMs: 100 }')
      await stage.untilListening(1)
      const waits = times.slice(1).map((time, index) => time - Number(times[index]))
      for (const [index, least] of [10, 20, 40, 80, 100].entries()) {
        assert.ok(Number(waits[index]) >= least - 1, `${waits[index]} ms before attempt ${index + 2}`)
      }
      await stage.publish(1)
      await stream.count(1)
    }
  },
  {
    name: '204 at once is the end',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.code(204).send())
      const { reason, failure, failures, states } = await (await stage.open()).ended()
      assert.deepEqual([reason, failure, failures], ['server', undefined, 0])
      assert.deepEqual(states, ['connecting', 'closed'])
    }
  },
  {
    name: '204 to who comes back is the end',
    async run(stage) {
      const stream = await stage.open()
      await assertListens(stage, stream, 'connecting open')
      stage.answers.push((_request, reply) => reply.code(204).send())
      stage.line.cut()
      const recording = await stream.ended()
      assert.equal(recording.reason, 'server')
      assertWhole(recording, stage)
      assertStates(recording, 'connecting open waiting connecting closed')
    }
  },
  {
    name: 'a full server says when to come back, and lets in when there is room',
    async run(stage) {
      for (let i = 0; i < 3; i++)
        stage.answers.push((_request, reply) => reply.type('text/event-stream').send('retry: 7\n\n'))
      const stream = await stage.open()
      await assertListens(stage, stream, `${'connecting open waiting '.repeat(3)}connecting open`)
    }
  },
  {
    name: 'a redirect is followed, each time',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.redirect('/stream?moved', 307))
      const stream = await stage.open()
      await assertListens(stage, stream, 'connecting open')
      stage.answers.push((_request, reply) => reply.redirect('/stream?moved', 302))
      stage.line.cut()
      await stage.untilAsked(4)
      await assertListens(stage, stream, REOPENED)
      assert.deepEqual(
        stage.asked.map(({ url }) => url),
        ['/stream', '/stream?moved', '/stream', '/stream?moved']
      )
      assert.ok(stage.asked[3]?.lastEventId, 'with its id')
    }
  }
]
