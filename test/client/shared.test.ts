import t, { type Test } from 'tap'
import { openSharedEventStream } from '../../lib/client/shared.ts'
import { node } from './node-engine.ts'
import { Stage } from './stage.ts'

async function openStage(t: Test): Promise<Stage> {
  const stage = await Stage.open(node)
  t.teardown(() => stage.close())
  return stage
}

const opener = 'openSharedEventStream'

/** Where tabs of this stage speak to each other. */
function channelOf(t: Test, { origin }: Stage): InstanceType<typeof BroadcastChannel> {
  const channel = new BroadcastChannel(`fastify-eventstream:${origin}/stream`)
  t.teardown(() => channel.close())
  return channel
}

t.test('client › tabs that share a stream', async (t) => {
  t.test('who closes it while what others have kept comes is given no more of that', async (t) => {
    const stage = await openStage(t)
    const first = await stage.open('{}', { opener })
    await stage.untilListening(1)
    await stage.publish(5)
    await first.count(5)
    const heard: string[] = []
    const later = openSharedEventStream(`${stage.origin}/stream`)
    later.on('news', ({ data }) => {
      heard.push(data)
      later.close()
    })
    t.equal(await later.closed, 'client')
    await stage.publish(1)
    await first.count(6)
    t.same(heard, ['message 0'])
  })

  t.test('keep: 0 tells a gap to who comes later, and to nobody else', async (t) => {
    const stage = await openStage(t)
    const first = await stage.open('{ keep: 0 }', { opener })
    await stage.untilListening(1)
    const second = await stage.open('{ keep: 0 }', { opener })
    await stage.publish(3)
    await second.count(3)
    const later = await stage.open('{ keep: 0 }', { opener })
    await later.count(1)
    await stage.publish(1)
    for (const stream of [first, second]) {
      const { data } = await stream.count(4)
      t.same(data, stage.published)
    }
    const { data } = await later.until("data.at(-1) === 'message 3'")
    t.same(data, [{ reason: 'expired' }, 'message 2', 'message 3'])
  })

  t.test('questions without number, and words that are none, change nothing', async (t) => {
    const stage = await openStage(t)
    const streams = [await stage.open('{}', { opener }), await stage.open('{}', { opener })]
    await stage.untilListening(1)
    const channel = channelOf(t, stage)
    for (let i = 0; i < 10; i++) {
      await stage.publish(10)
      for (let j = 0; j < 50; j++) channel.postMessage({ isQuestion: true })
      for (const word of [null, 'a word', 1, {}, []]) channel.postMessage(word)
    }
    for (const stream of streams) {
      const { data } = await stream.count(100)
      t.same(data, stage.published)
    }
    t.equal(stage.asked.length, 1)
  })
})
