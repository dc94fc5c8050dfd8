import assert from 'node:assert/strict'
import type { FastifyReply } from 'fastify'
import type { Stage } from '../stage.ts'
import { assertStates, assertWhole, type Scenario } from './scenario.ts'

/** Writes a response of its own, whatever the library would. */
function raw(reply: FastifyReply, ...chunks: (string | Uint8Array)[]): FastifyReply['raw'] {
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const chunk of chunks) reply.raw.write(chunk)
  return reply.raw
}

/** Publishes while `fault` is done to the client again and again. */
async function assertWholeOver(
  stage: Stage,
  fault: () => unknown,
  options?: string
): Promise<Awaited<ReturnType<Stage['open']>>> {
  const stream = await stage.open(options)
  await stage.untilListening(1)
  for (let i = 1; i <= 4; i++) {
    const before = stage.published.length
    await stage.publish(20)
    await stream.count(before + 1)
    const asked = stage.asked.length
    await fault()
    await stage.publish(20)
    await stage.untilAsked(asked + 1)
  }
  await stage.publish(1)
  assertWhole(await stream.count(stage.published.length), stage)
  return stream
}

export const breaks: readonly Scenario[] = [
  {
    name: 'a proxy cuts, again and again',
    run: async (stage) => {
      await assertWholeOver(stage, () => stage.line.cut())
    }
  },
  {
    name: 'a proxy cuts while a listener reads',
    run: async (stage) => {
      await assertWholeOver(stage, () => stage.line.cut(), "{ listensTo: ['news'] }")
    }
  },
  {
    name: 'the server ends the stream without a word, again and again',
    run: async (stage) => {
      await assertWholeOver(stage, () => {
        for (const sse of stage.streams.splice(0)) sse.destroy()
      })
    }
  },
  {
    name: 'a stream expires, and comes back when it is told to',
    run: async (stage) => {
      stage.answers.push((_request, reply) => {
        const sse = reply.sseStart({ expiresAt: Date.now() + 100, farewell: false })
        stage.app.sse.channel('news').subscribe(sse)
      })
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(5)
      await stage.untilAsked(2)
      await stage.publish(5)
      const recording = await stream.count(10)
      assertWhole(recording, stage)
      assertStates(recording, 'connecting open waiting connecting open')
    }
  },
  {
    name: 'a cut within an event: it comes again, whole and once',
    run: async (stage) => {
      const cursors: (string | undefined)[] = []
      stage.answers.push((_request, reply) => {
        raw(reply, 'retry: 5\n\nid: 1\ndata: one\n\nid: 2\ndata: tw').on('error', () => {})
        setImmediate(() => stage.line.cut())
      })
      stage.answers.push(({ headers }, reply) => {
        cursors.push(headers['last-event-id']?.toString())
        raw(reply, 'id: 2\ndata: two\n\n')
      })
      const stream = await stage.open()
      const [{ data }] = [await stream.until("data.at(-1) === 'two'")]
      assert.ok(cursors[0] === undefined ? data.length === 1 : cursors[0] === '1' && data.length === 2)
    }
  },
  {
    name: 'a head, and nothing after it but a cut',
    run: async (stage) => {
      stage.answers.push((_request, reply) => raw(reply).destroy())
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(1)
      assertWhole(await stream.count(1), stage)
    }
  },
  {
    name: 'the server crashes and is started again: a gap is told, and what follows',
    run: async (stage) => {
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(5)
      await stream.count(5)
      await stage.stop()
      await stream.until("states.filter((state) => state === 'waiting').length > 2")
      await stage.restart()
      await stage.untilListening(1)
      await stage.publish(5)
      const { data, events } = await stream.count(11)
      assert.deepEqual(events[5]?.event, 'gap')
      assert.deepEqual(data.toSpliced(5, 1), stage.published)
      assert.deepEqual(data[5], { reason: 'unknown' })
    }
  },
  {
    name: 'the server shuts down: all that was published has come, and it is no end',
    run: async (stage) => {
      const stream = await stage.open()
      await stage.untilListening(1)
      await stage.publish(50)
      await stage.app.close()
      await stage.stop()
      assertWhole(await stream.until("states.includes('waiting') && data.length >= 50"), stage)
      await stage.restart()
      await stage.untilListening(1)
      await stage.publish(1)
      const { reason, data } = await stream.count(52)
      assert.equal(reason, undefined)
      assert.equal(data.at(-1), 'message 50')
    }
  },
  {
    name: 'the server is not there yet',
    run: async (stage) => {
      const tab = await stage.newTab()
      await stage.line.close()
      const stream = await stage.open('{}', { tab })
      await stream.until("states.filter((state) => state === 'waiting').length > 2")
      await stage.line.reopen(stage.port)
      await stage.untilListening(1)
      await stage.publish(3)
      const recording = await stream.count(3)
      assertWhole(recording, stage)
      assert.match(recording.states.join(' '), /^(connecting waiting ){3,}connecting open$/)
    }
  },
  {
    name: 'half-open: a silent connection is given up, and nothing is lost',
    run: async (stage) => {
      const stream = await stage.open('{ silenceMs: 1_000 }')
      await stage.untilListening(1)
      await stage.publish(5)
      await stream.count(5)
      stage.line.hush()
      await stage.publish(5)
      const recording = await stream.count(10)
      assertWhole(recording, stage)
      // A browser may try a connection that it kept, which is silent, too.
      assert.match(recording.states.join(' '), /^connecting open (waiting connecting )+open$/)
      assert.match(String(recording.causes[0]), /silent/)
    }
  },
  {
    name: 'half-open before the head',
    run: async (stage) => {
      stage.answers.push((_request, reply) => {
        reply.hijack()
      })
      const stream = await stage.open('{ silenceMs: 1_000 }')
      await stage.untilListening(1)
      await stage.publish(1)
      const recording = await stream.count(1)
      assertWhole(recording, stage)
      assertStates(recording, 'connecting waiting connecting open')
    }
  },
  {
    name: 'a quiet stream whose heartbeats are seen is not given up',
    run: async (stage) => {
      const stream = await stage.open('{ silenceMs: 1_000 }')
      await stage.untilListening(1)
      await stage.streams[0]?.send({ data: 'first' })
      await stream.count(1)
      await new Promise((resolve) => setTimeout(resolve, 2_500))
      await stage.streams[0]?.send({ data: 'second' })
      const { data, states } = await stream.count(2)
      assert.deepEqual(data, ['first', 'second'])
      assert.deepEqual(states, ['connecting', 'open'])
      assert.equal(stage.asked.length, 1)
    }
  },
  {
    name: 'every byte comes by itself',
    run: async (stage) => {
      stage.answers.push(async (_request, reply) => {
        const response = raw(reply)
        for (const byte of Buffer.from(
          '﻿id: ü1\r\nevent: news\r\ndata: Grüße 😀\r\ndata: 二\r\n\r\n: end\n\n'
        )) {
          response.write(Uint8Array.of(byte))
          await new Promise((resolve) => setImmediate(resolve))
        }
      })
      const { events } = await (await stage.open()).count(1)
      assert.deepEqual(events, [{ event: 'news', data: 'Grüße 😀\n二', id: 'ü1' }])
    }
  },
  {
    name: 'an id that is no ASCII comes back as its UTF-8',
    not: { WebKit: 'encodes the bytes of a header once more' },
    run: async (stage) => {
      stage.answers.push((_request, reply) => raw(reply, 'retry: 5\nid: ü二\ndata: 1\n\n').end())
      await stage.open()
      await stage.untilListening(1)
      const brought = Buffer.from(stage.asked[1]?.lastEventId ?? '', 'latin1').toString()
      assert.equal(brought, 'ü二')
    }
  },
  {
    name: 'an empty id makes it forget where it was',
    run: async (stage) => {
      stage.answers.push((_request, reply) => raw(reply, 'retry: 5\nid: 1\ndata: 1\n\nid\ndata: 2\n\n').end())
      await stage.open()
      await stage.untilListening(1)
      assert.equal(stage.asked[1]?.lastEventId, undefined)
    }
  },
  {
    name: 'it begins after the id that it is given',
    run: async (stage) => {
      await stage.publish(2)
      const { oldest } = await stage.app.sse.channel('news').info()
      const stream = await stage.open(`{ lastEventId: '${oldest}' }`)
      const { data } = await stream.count(1)
      assert.deepEqual(data, ['message 1'])
    }
  },
  {
    name: 'the server says how long to wait',
    run: async (stage) => {
      const times: number[] = []
      stage.answers.push((_request, reply) => {
        raw(reply, 'retry: 700\n\n').end()
        times.push(performance.now())
      })
      stage.answers.push((request, reply) => {
        times.push(performance.now())
        return stage.listen(request, reply)
      })
      await stage.open()
      await stage.untilListening(1)
      assert.ok(Number(times[1]) - Number(times[0]) >= 695)
    }
  },
  {
    name: 'a loop that is slow holds the server back, and gets everything',
    run: async (stage) => {
      await stage.app.close()
      await stage.start({
        history: { maxTotalBytes: 400_000_000 },
        channels: { news: { maxMessages: 4_000, maxBytes: 400_000_000 } }
      })
      const tab = await stage.newTab()
      const stream = await stage.open('{ isSlow: true }', { tab })
      await stage.untilListening(1)
      const text = 'x'.repeat(50_000)
      const behind = (): number => stage.published.length * text.length - stage.app.sse.stats().bytes
      // The kernel has buffers of its own, and so have browsers, of which it is not known how large they are.
      const isHeld = (): boolean => behind() > 10_000_000
      const most = stage.engine.name === 'Node' ? 4_000 : 600
      while (!isHeld() && stage.published.length < most) {
        const data = `${stage.published.length} ${text}`
        stage.published.push(data)
        await stage.app.sse.channel('news').publish({ data })
      }
      if (stage.engine.name === 'Node') assert.ok(isHeld(), `it is ${behind()} bytes behind`)
      await tab.evaluate('tab.last().goOn()')
      const { data } = await stream.until(`data.at(-1)?.startsWith('${stage.published.length - 1} ')`)
      assert.deepEqual(data, stage.published)
    }
  }
]
