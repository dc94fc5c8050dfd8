import t, { type Test } from 'tap'
import { Deferred } from '../../lib/base/promises.ts'
import { openSharedEventStream } from '../../lib/client/shared.ts'
import { findLocks } from '../../lib/client/surroundings.ts'
import { node } from './node-engine.ts'
import { Stage } from './stage.ts'

async function openStage(t: Test): Promise<Stage> {
  const stage = await Stage.open(node)
  t.teardown(() => stage.close())
  return stage
}

/** What a tab that is asked and tells says. */
interface Word {
  readonly isQuestion?: true
  readonly standing?: object
  readonly item?: { readonly event: string; readonly data: string }
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

  t.test('who leads next hears what the one before it told last', async (t) => {
    const stage = await openStage(t)
    const url = `${stage.origin}/stream`
    const channel = channelOf(t, stage)
    const words: Word[] = []
    let wake = (): void => {}
    channel.onmessage = ({ data }: { data: unknown }) => {
      words.push(data as Word)
      wake()
    }
    const heard = async (test: (word: Word) => unknown): Promise<void> => {
      while (!words.some(test)) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    const gone = new Deferred<void>()
    void findLocks()?.request(channel.name, { signal: new AbortController().signal }, () => gone.promise)
    const open = new Deferred<void>()
    const stream = openSharedEventStream(url, {
      onState: (state) => {
        if (state === 'open') open.resolve()
      }
    })
    const data: string[] = []
    stream.on('news', (event) => data.push(event.data))
    await heard(({ isQuestion }) => isQuestion)
    const leader = 'the one before'
    channel.postMessage({
      leader,
      count: 0,
      standing: { kept: [], isCut: false, origin: leader, lastEventId: '', state: 'open' }
    })
    await open.promise
    gone.resolve()
    await heard(({ standing }) => standing)
    for (const [i, [event, text]] of [
      ['news', 'the last words'],
      ['close', 'bye']
    ].entries()) {
      const item = { event, data: text, id: `${i}`, hasId: true, key: `${i}` }
      channel.postMessage({ leader, count: i + 1, item })
    }
    t.equal(await stream.closed, 'server')
    t.equal(stream.farewell, 'bye')
    t.same(data, ['the last words'])
    await heard(({ item }) => item?.event === 'close')
    t.same(
      words.filter(({ item }) => item).map(({ item }) => item?.data),
      ['the last words', 'bye'],
      'and tells it those who follow'
    )
  })

  t.test('a tab that was put away is told a gap if who leads has begun since', async (t) => {
    const page = new EventTarget()
    Object.assign(globalThis, { document: page })
    t.teardown(() => Reflect.deleteProperty(globalThis, 'document'))
    const stage = await openStage(t)
    const open = () => {
      const data: unknown[] = []
      let wake = (): void => {}
      const stream = openSharedEventStream(`${stage.origin}/stream`)
      t.teardown(() => stream.close())
      for (const event of ['news', 'gap'] as const) {
        stream.on(event, (given) => {
          data.push(given.data)
          wake()
        })
      }
      return async (last: string): Promise<unknown[]> => {
        while (data.at(-1) !== last) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        return data
      }
    }
    const first = open()
    await stage.untilListening(1)
    await stage.publish(1)
    await first('message 0')
    page.dispatchEvent(new Event('freeze'))
    await stage.publish(1)
    const later = open()
    await stage.untilAsked(2)
    await stage.publish(1)
    t.same(await later('message 2'), ['message 2'])
    page.dispatchEvent(new Event('resume'))
    t.same(await first('message 2'), ['message 0', { reason: 'expired' }, 'message 2'])
    await stage.publish(1)
    t.equal((await first('message 3')).length, 4)
    t.same(await later('message 3'), ['message 2', 'message 3'])
  })

  t.test('a tab that begins at an id is told a gap if who leads has begun after it', async (t) => {
    const stage = await openStage(t)
    const before = await stage.app.sse.cursor()
    await stage.publish(1)
    const first = await stage.open('{}', { opener })
    await stage.untilListening(1)
    await stage.publish(1)
    const { events } = await first.count(1)
    const told = async (lastEventId: string, options = ''): Promise<unknown[]> => {
      const stream = await stage.open(`{ lastEventId: '${lastEventId}', ${options} }`, { opener })
      return (await stream.until("data.at(-1) === 'message 1'")).data
    }
    const gap = { reason: 'expired' }
    t.same(await told(before), [gap, 'message 1'])
    t.same(await told('7'), [gap, 'message 1'], 'also if that is not known')
    t.same(await told(before, 'gapEvent: false'), ['message 1'], 'but not who wants to be told none')
    t.same(await told(await stage.app.sse.cursor()), ['message 1'])
    const last = await stage.open(`{ lastEventId: '${events[0]?.id}' }`, { opener })
    await stage.publish(1)
    t.same((await last.count(1)).data, ['message 2'])
  })

  t.test('tabs that begin at one id are told no gap', async (t) => {
    const stage = await openStage(t)
    await stage.publish(2)
    const id = await stage.app.sse.cursor()
    await stage.publish(1)
    for (let i = 0; i < 3; i++) {
      const stream = await stage.open(`{ lastEventId: '${id}' }`, { opener })
      t.same((await stream.count(1)).data, ['message 2'])
    }
    t.equal(stage.asked.length, 1)
  })

  t.test('an empty id, which is none, makes no two events the same', async (t) => {
    const stage = await openStage(t)
    stage.answers.push((_request, reply) => {
      const sse = reply.sseStart()
      for (const data of ['1', '2']) sse.send({ id: '', data })
      void sse.close()
    })
    const stream = openSharedEventStream(`${stage.origin}/stream`)
    const given: string[] = []
    for await (const { data } of stream) given.push(data)
    t.same(given, ['1', '2'])
  })
})
