import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import t from 'tap'
import { HandOver } from '../../lib/fastify/hand-over.ts'

/** What Fastify does with a payload that is a stream. */
function sendAsFastify(handOver: HandOver, response: PassThrough, ...between: (() => void)[]): void {
  finished(handOver, { writable: false }).catch(() => {})
  finished(response).catch(() => {})
  for (const act of between) act()
  handOver.pipe(response)
}

t.test('HandOver › tells where it is piped, and drops what watches the response for it', async (t) => {
  const response = new PassThrough()
  const stranger = (): void => {}
  response.on('close', stranger)
  const before = response.listenerCount('close')
  let piped: unknown[] = []
  const handOver = new HandOver(response, (...told) => {
    piped = told
  })
  sendAsFastify(handOver, response)
  t.same(piped, [response, response])
  t.equal(response.listenerCount('close'), before)
  t.ok(response.listeners('close').includes(stranger))
})

t.test("HandOver › keeps everybody else's listeners, whenever they came", async (t) => {
  const late = (): void => {}
  const early = (): void => {}

  const response = new PassThrough()
  const handOver = new HandOver(response, () => {})
  handOver.once('error', () => {})
  response.on('close', early)
  await undefined
  response.on('close', late)
  handOver.pipe(response)
  t.same(
    [early, late].map((listener) => response.listeners('close').includes(listener)),
    [true, true],
    'a hook that touched it, and another stream that pipes it on later'
  )

  const same = new PassThrough()
  const sent = new HandOver(same, () => {})
  sent.once('error', () => {})
  same.on('close', late)
  sendAsFastify(sent, same)
  t.same(
    same.listeners('close').filter((listener) => listener === late),
    [late],
    'a hook that listens to both, and goes on at once'
  )

  const other = new PassThrough()
  const wrapped = new HandOver(other, () => {})
  const front = new PassThrough()
  wrapped.once('error', () => {})
  other.on('close', late)
  wrapped.pipe(front)
  t.ok(other.listeners('close').includes(late), 'a hook that puts another stream in front')
})

t.test('HandOver › who listens to the response can stop, also where a tracer binds listeners', async (t) => {
  const response = new PassThrough()
  const { on, removeListener } = response
  const bound = new Map<unknown, () => void>()
  Object.assign(response, {
    on: (event: string, listener: () => void) => {
      const bind = (): void => listener()
      bound.set(listener, bind)
      return on.call(response, event, bind)
    },
    removeListener: (event: string, listener: () => void) =>
      removeListener.call(response, event, bound.get(listener) ?? listener)
  })

  const hook = (): void => {}
  const before = response.listenerCount('close')
  response.on('close', hook)
  sendAsFastify(new HandOver(response, () => {}), response)
  t.equal(response.listenerCount('close'), before + 1)
  response.removeListener('close', hook)
  t.equal(response.listenerCount('close'), before)
})

t.test('HandOver › fails for a reader, and ends at once where only the head is wanted', async (t) => {
  const response = new PassThrough()
  await t.rejects(new HandOver(response, () => {}).toArray(), {
    code: 'FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED'
  })
  let ending: unknown
  const trailed = new HandOver(response, (_destination, told) => {
    ending = told
  })
  trailed.pipe(response, { end: false })
  t.equal(ending, trailed, 'with trailers it is itself what is to be ended')
  trailed.end()
  await finished(trailed, { writable: false })
  t.ok(trailed.readableEnded)
})
