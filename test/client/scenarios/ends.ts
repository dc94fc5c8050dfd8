import assert from 'node:assert/strict'
import { assertStates, assertWhole, type Scenario } from './scenario.ts'

const POST = "{ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{\"prompt\":\"Hi\"}'"

export const ends: readonly Scenario[] = [
  {
    name: 'the farewell is the end, and no event',
    async run(stage) {
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(3)
      await stream.count(3)
      stage.app.sse.closeWhere(() => true)
      const recording = await stream.ended()
      assert.deepEqual([recording.reason, recording.farewell], ['server', 'Closing the connection'])
      assertWhole(recording, stage)
      assertStates(recording, 'connecting open closed')
      assert.equal(stage.asked.length, 1)
    }
  },
  {
    name: 'a gap is an event of its own kind',
    async run(stage) {
      await stage.app.close()
      await stage.start({ channels: { news: { maxMessages: 3 } } })
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(2)
      await stream.count(2)
      await stage.line.close()
      await stage.publish(10)
      await stage.line.reopen(stage.port)
      const { events } = await stream.count(6)
      assert.deepEqual(
        events.map(({ event, data }) => (event === 'gap' ? data : event)),
        ['news', 'news', { channel: 'news', reason: 'expired' }, 'news', 'news', 'news']
      )
    }
  },
  {
    name: 'sse-cursor is no event, and where it goes on',
    async run(stage) {
      const stream = await stage.open()
      await stage.untilListening(1)
      await stream.until("states.includes('open')")
      await stage.line.close()
      await stage.publish(3)
      await stage.line.reopen(stage.port)
      assertWhole(await stream.count(3), stage)
    }
  },
  {
    name: 'a finite stream that comes to its end',
    async run(stage) {
      stage.answers.push(async (_request, reply) => {
        const sse = reply.sseStart({ farewell: false })
        await sse.sendAll(['Hello', ' world'])
        sse.close()
      })
      const { reason, data, failures } = await (await stage.open(`${POST} }`)).ended()
      assert.deepEqual([reason, data, failures], ['server', ['Hello', ' world'], 0])
      assert.deepEqual(stage.asked[0]?.body, { prompt: 'Hi' })
    }
  },
  {
    name: 'a finite stream that breaks is a failure, told once',
    async run(stage) {
      stage.answers.push((_request, reply) => {
        const sse = reply.sseStart({ farewell: false })
        stage.streams.push(sse)
        sse.send('Hel')
      })
      const stream = await stage.open(`${POST} }`)
      await stream.count(1)
      stage.line.cut()
      const { reason, data, failure, failures, states } = await stream.until('failures > 0 && reason')
      assert.deepEqual([reason, data, failure?.reason, failures], ['broken', ['Hel'], 'broken', 1])
      assert.deepEqual(states, ['connecting', 'open', 'closed'])
      assert.equal(stage.asked.length, 1)
    }
  },
  {
    name: 'a finite stream that breaks goes on, where that is asked for',
    async run(stage) {
      const words = ['one', 'two', 'three', 'four']
      const answer: (typeof stage.answers)[number] = async ({ headers }, reply) => {
        const sse = reply.sseStart({ farewell: false })
        const begin = Number(headers['last-event-id'] ?? 0)
        for (let id = begin + 1; id <= words.length; id++) {
          await sse.send({ id, data: words[id - 1], retry: 5 })
          if (begin === 0 && id === 2) return
        }
        sse.close()
      }
      stage.answers.push(answer, answer)
      const stream = await stage.open(`${POST}, resume: true }`)
      await stream.count(2)
      stage.line.cut()
      const { reason, data } = await stream.ended()
      assert.deepEqual([reason, data], ['server', words])
      assert.deepEqual(
        stage.asked.map(({ lastEventId, body }) => [lastEventId, body]),
        [
          [undefined, { prompt: 'Hi' }],
          ['2', { prompt: 'Hi' }]
        ]
      )
    }
  },
  {
    name: 'a finite stream is refused for now, and asked for again; by a 500 it is not',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.code(503).send({}))
      stage.answers.push((_request, reply) => reply.code(429).send({}))
      stage.answers.push((_request, reply) => reply.code(500).send({}))
      const { failure, states } = await (await stage.open(`${POST} }`)).ended()
      assert.deepEqual([failure?.reason, failure?.status], ['refused', 500])
      assert.deepEqual(states, ['connecting', 'waiting', 'connecting', 'waiting', 'connecting', 'closed'])
    }
  },
  {
    name: 'a finite stream whose server is not there is a failure',
    async run(stage) {
      const tab = await stage.newTab()
      await stage.line.close()
      const { failure, reason } = await (await stage.open(`${POST} }`, { tab })).ended()
      assert.deepEqual([reason, failure?.reason], ['broken', 'broken'])
    }
  },
  {
    name: 'it is closed: the server hears of it, and no request follows',
    async run(stage) {
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(1)
      await stream.count(1)
      await stream.close()
      assert.equal(await stage.streams[0]?.closed, 'client')
      const { reason, failures, states } = await stream.ended()
      assert.deepEqual([reason, failures], ['client', 0])
      assert.deepEqual(states, ['connecting', 'open', 'closed'])
    }
  },
  {
    name: 'its signal aborts while it waits',
    async run(stage) {
      stage.answers.push((_request, reply) => reply.code(503).header('retry-after', '1000').send({}))
      const tab = await stage.newTab()
      await tab.evaluate('globalThis.stop = new AbortController(), 0')
      const stream = await stage.open('{ signal: globalThis.stop.signal }', { tab })
      await stream.until("states.at(-1) === 'waiting'")
      await tab.evaluate('globalThis.stop.abort()')
      const { reason, states } = await stream.ended()
      assert.equal(reason, 'client')
      assert.deepEqual(states, ['connecting', 'waiting', 'closed'])
    }
  },
  {
    name: 'a loop is left: that closes it',
    async run(stage) {
      const stream = await stage.open("{ leavesAt: 'message 1' }")
      await stage.untilListening(1)
      await stage.publish(5)
      const { reason, data } = await stream.ended()
      assert.deepEqual([reason, data], ['client', ['message 0', 'message 1']])
      assert.equal(await stage.streams[0]?.closed, 'client')
    }
  },
  {
    name: 'data that cannot be parsed: a failure, told once, and nothing after it',
    async run(stage) {
      const stream = await stage.open('{ parse: { quote: JSON.parse } }')
      await stage.untilListening(1)
      const news = stage.app.sse.channel('news')
      await news.publish([
        { event: 'quote', data: { price: 1 } },
        { event: 'text', data: '{' },
        { event: 'quote', data: '{' },
        { event: 'text', data: 'after' }
      ])
      const { reason, data, failure, failures } = await stream.until('failures > 0 && reason')
      assert.deepEqual([reason, data, failures], ['error', [{ price: 1 }, '{'], 1])
      assert.match(String(failure?.cause), /^SyntaxError/)
      assert.equal(await stage.streams[0]?.closed, 'client')
    }
  },
  {
    name: 'one function parses all events, gaps apart',
    async run(stage) {
      const stream = await stage.open(
        "{ lastEventId: 'unknown', parse: (text, event) => event + '=' + text }"
      )
      await stage.untilListening(1)
      await stage.publish(1)
      const { data } = await stream.count(2)
      assert.deepEqual(data, [{ reason: 'unknown' }, 'news=message 0'])
    }
  }
]
