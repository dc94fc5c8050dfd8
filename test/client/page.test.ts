import assert from 'node:assert/strict'
import t from 'tap'
import { openEventStream } from '../../lib/client/client.ts'
import { findLocks, type Locks } from '../../lib/client/surroundings.ts'
import { node } from './node-engine.ts'
import { Stage } from './stage.ts'

/** What the client asks a page for: where `online`, `pagehide` and so on are told. */
function fakePage(t: { teardown(fn: () => unknown): void }): {
  page: EventTarget
  document: EventTarget
  navigator: { onLine: boolean; locks: Locks | undefined }
} {
  const page = new EventTarget()
  const document = new EventTarget()
  const navigator = { onLine: true, locks: findLocks() }
  const fakes = { addEventListener: page.addEventListener.bind(page), document, navigator }
  for (const [name, value] of Object.entries(fakes)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name)
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    t.teardown(() => {
      Reflect.deleteProperty(globalThis, name)
      if (before !== undefined) Object.defineProperty(globalThis, name, before)
    })
  }
  return { page, document, navigator }
}

t.test('client › in a page', async (t) => {
  t.test('while it is offline, it waits for the browser to be online', async (t) => {
    const { page, navigator } = fakePage(t)
    const stage = await Stage.open(node)
    t.teardown(() => stage.close())
    const stream = await stage.open('{ maxRetryMs: 1_000_000 }')
    await stage.untilListening(1)
    await stage.publish(1)
    await stream.count(1)
    navigator.onLine = false
    stage.line.cut()
    await stream.until("states.at(-1) === 'waiting'")
    await stage.publish(1)
    navigator.onLine = true
    page.dispatchEvent(new Event('online'))
    const { data, states } = await stream.count(2)
    t.same(data, stage.published)
    t.same(states, ['connecting', 'open', 'waiting', 'connecting', 'open'])
  })

  for (const [away, back, opener] of [
    ['pagehide', 'pageshow', 'openEventStream'],
    ['freeze', 'resume', 'openEventStream'],
    ['pagehide', 'pageshow', 'openSharedEventStream']
  ] as const) {
    t.test(`${opener}: from ${away} to ${back}, it has no connection, and then what it missed`, async (t) => {
      const { page, document } = fakePage(t)
      const target = away === 'pagehide' ? page : document
      const stage = await Stage.open(node)
      t.teardown(() => stage.close())
      const stream = await stage.open("{ method: 'GET' }", { opener })
      await stage.untilListening(1)
      await stage.publish(1)
      await stream.count(1)
      target.dispatchEvent(new Event(away))
      t.equal(await stage.streams[0]?.closed, 'client')
      await stage.publish(2)
      target.dispatchEvent(new Event(back))
      const { data } = await stream.count(3)
      t.same(data, stage.published)
      t.equal(stage.asked.length, 2)
    })
  }

  t.test('a stream that is closed while its page is put away asks for nothing', async (t) => {
    const { page } = fakePage(t)
    const stage = await Stage.open(node)
    t.teardown(() => stage.close())
    const stream = await stage.open()
    await stage.untilListening(1)
    page.dispatchEvent(new Event('pagehide'))
    await stream.until("states.at(-1) === 'waiting'")
    await stream.close()
    await stream.ended()
    page.dispatchEvent(new Event('pageshow'))
    t.equal(stage.asked.length, 1)
  })
})

t.test('client › in a page that may have no locks, a stream that tabs share is one of its own', async (t) => {
  const { navigator } = fakePage(t)
  const request = async (): Promise<never> => {
    throw new DOMException('not here', 'SecurityError')
  }
  navigator.locks = { request }
  const stage = await Stage.open(node)
  t.teardown(() => stage.close())
  const stream = await stage.open('{}', { opener: 'openSharedEventStream' })
  await stage.untilListening(1)
  await stage.publish(1)
  const { data } = await stream.count(1)
  t.same(data, stage.published)
})

t.test('client › a finite stream whose page is put away is broken, and asked for once', async (t) => {
  const { page } = fakePage(t)
  const stage = await Stage.open(node)
  t.teardown(() => stage.close())
  stage.answers.push((_request, reply) => {
    stage.streams.push(reply.sseStart())
    stage.streams[0]?.send('Hel')
  })
  const stream = await stage.open("{ method: 'POST', body: '' }")
  await stream.count(1)
  page.dispatchEvent(new Event('pagehide'))
  const { reason } = await stream.ended()
  page.dispatchEvent(new Event('pageshow'))
  t.equal(reason, 'broken')
  t.equal(stage.asked.length, 1)
})

t.test('client › wrong use', async (t) => {
  const wrong: [string, () => unknown][] = [
    ['a URL that is none', () => openEventStream('not a url')],
    ['a GET with a body', () => openEventStream('http://localhost/', { body: 'x' })],
    ['a header that is none', () => openEventStream('http://localhost/', { headers: { 'no header': '' } })],
    ['a method that is none', () => openEventStream('http://localhost/', { method: 'NO METHOD' })]
  ]
  for (const [name, open] of wrong) t.throws(open, TypeError, name)

  t.test('a signal that has aborted closes it before a request', async (t) => {
    const stream = openEventStream('http://localhost:1/', { signal: AbortSignal.abort() })
    t.equal(stream.state, 'closed')
    t.equal(await stream.closed, 'client')
    for await (const event of stream) t.fail(String(event))
  })

  t.test('what a listener throws is an uncaught error, and stops nothing', async (t) => {
    const stage = await Stage.open(node)
    t.teardown(() => stage.close())
    const stream = openEventStream(`${stage.origin}/stream`)
    const uncaught = t.capture(process, 'emit', () => true)
    const heard: unknown[] = []
    const isDone = new Promise<void>((resolve) => {
      stream.on('news', () => {
        throw new Error('of the page')
      })
      const end = stream.on('news', ({ data }) => {
        heard.push(data)
        if (heard.length === 2) resolve()
      })
      t.teardown(end)
    })
    await stage.untilListening(1)
    await stage.publish(2)
    await isDone
    stream.close()
    assert.deepEqual(heard, stage.published)
    const errors = uncaught().filter(({ args: [name] }) => name === 'uncaughtException')
    t.same(
      errors.map(({ args: [, error] }) => (error as unknown as Error).message),
      ['of the page', 'of the page']
    )
  })
})
