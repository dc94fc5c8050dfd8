import { EventSource } from 'eventsource'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/history/redis/redis-store.ts'
import type { EventStreamOptions, ReadItem } from '../../lib/index.ts'
import { readEvents } from '../../lib/testing/testing.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { build, listen, nextTurn } from '../helpers/server.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

/** A server whose route subscribes to the channels of its path, from the first message. */
async function serve(
  t: Test,
  options: EventStreamOptions = {}
): Promise<{ app: FastifyInstance; url: string }> {
  const app = await build(t, options)
  app.get<{ Params: { names: string } }>('/:names', async ({ params }, reply) => {
    app.sse.subscribe(reply.sseStart(), params.names.split(','), { from: 'first' })
  })
  app.get('/late', async (_request, reply) => {
    app.sse.channel('a').subscribe(reply.sseStart({ farewell: false }))
  })
  app.get('/own', async (_request, reply) => {
    const sse = reply.sseStart({ endWithChannels: false })
    const subscription = app.sse.channel('a').subscribe(sse, { from: 'first' })
    while (subscription.active) await nextTurn()
    await sse.send('own')
    sse.close()
  })
  return { app, ...(await listen(app)) }
}

/** What a stream has until it ends, without ids and what only tells them. */
async function textOf(
  url: string,
  lastEventId?: string
): Promise<{ status: number; text: string; id: string }> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const response = await fetch(url, { headers })
  const text = await response.text()
  const id = [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? ''
  const shown = text.replaceAll('event: sse-cursor\ndata: {}\n\n', '').replaceAll(/^id: .*\n/gm, '')
  return { status: response.status, text: shown, id }
}

async function suite(t: Test, options: () => EventStreamOptions): Promise<void> {
  t.test('who is there gets everything and then the end', async (t) => {
    const { app, url } = await serve(t, options())
    const channel = app.sse.channel('a')
    await channel.publish('1')
    const events = readEvents(await fetch(`${url}/a`))
    t.equal((await events.next('message')).data, '1')
    await channel.end({ event: 'done', data: '2' })
    t.equal((await events.next('done')).data, '2')
    t.equal((await events.next('close')).data, 'Closing the connection')
    t.equal(app.sse.channels.size, 0)
  })

  t.test('who comes late gets what is kept, and then the end', async (t) => {
    const { app, url } = await serve(t, options())
    for (const name of ['a', 'b']) {
      await app.sse.channel(name).publish('1')
      await app.sse.channel(name).end(name === 'a' ? '2' : undefined)
    }
    t.match((await textOf(`${url}/a`)).text, `data: 1\n\ndata: 2\n\n${FAREWELL}`)
    t.match((await textOf(`${url}/b`)).text, /^data: 1\n\n\nevent: close/)
    t.match((await textOf(`${url}/a,b`)).text, /^data: 1\n\ndata: 2\n\ndata: 1\n\n\nevent: close/)
  })

  t.test('who comes back with everything gets 204, and with less the rest', async (t) => {
    const { app, url } = await serve(t, options())
    const first = await app.sse.channel('a').publish('1')
    const last = await app.sse.channel('a').publish('2')
    await app.sse.channel('a').end()
    t.match(await textOf(`${url}/a`, first), { status: 200, text: /^data: 2\n/ })
    for (const id of [last, (await textOf(`${url}/a`)).id]) {
      t.same(await textOf(`${url}/a`, id), { status: 204, text: '', id: '' })
    }
    t.match(await textOf(`${url}/a`, 'nonsense'), {
      status: 200,
      text: /event: gap[\s\S]*data: 1\n\ndata: 2\n/
    })
  })

  t.test('a stream goes on as long as one of its channels does', async (t) => {
    const { app, url } = await serve(t, options())
    await app.sse.channel('a').end('1')
    const events = readEvents(await fetch(`${url}/a,b`))
    t.equal((await events.next('message')).data, '1')
    await app.sse.channel('b').publish('2')
    t.equal((await events.next('message')).data, '2')
    await app.sse.channel('b').end('3')
    t.equal((await events.next('message')).data, '3')
    await events.next('close')
  })

  t.test('an end is the last', async (t) => {
    const { app } = await serve(t, options())
    const channel = app.sse.channel('a')
    await channel.publish('1')
    await channel.end()
    await channel.end('2')
    await t.rejects(channel.publish('3'), { code: 'FST_ERR_EVENTSTREAM_CHANNEL_ENDED', statusCode: 409 })
    await t.rejects(app.sse.publish(['b', 'a'], '3'), { code: 'FST_ERR_EVENTSTREAM_CHANNEL_ENDED' })
    t.match(await channel.info(), { messages: 1, ended: true })
    t.match(await app.sse.channel('b').info(), { messages: 0, ended: false })
    const items: ReadItem[] = []
    for await (const item of channel.read()) items.push(item)
    t.match(items, [{ type: 'message', data: '1' }])
    for await (const item of channel.read({ from: 'now' })) t.fail(item.type)
  })

  t.test('what is new to an ended channel ends, too', async (t) => {
    const { app, url } = await serve(t, options())
    await app.sse.channel('a').end('1')
    t.match(await textOf(`${url}/late`), { status: 200, text: /^$/, id: /^\w+-\w+$/ })
  })

  t.test('a handler that sends by itself does, and closes', async (t) => {
    const { app, url } = await serve(t, options())
    await app.sse.channel('a').end('1')
    t.match((await textOf(`${url}/own`)).text, /data: 1\n\n[\s\S]*data: own\n\nevent: close/)
  })
}

t.test('Channel › end() in memory', async (t) => {
  await suite(t, () => ({}))

  t.test('an EventSource stops', async (t) => {
    const { app, url } = await serve(t, { farewell: false, retryMs: false })
    await app.sse.channel('a').publish({ data: '1', retry: 1 })
    await app.sse.channel('a').end('2')
    const source = new EventSource(`${url}/a`)
    const data: string[] = []
    source.onmessage = (event) => data.push(event.data)
    await new Promise<void>((resolve) => {
      source.onerror = () => source.readyState === source.CLOSED && resolve()
    })
    t.same(data, ['1', '2'], 'when it has come back')
  })

  t.test('leaves nothing behind when its time has come', async (t) => {
    const { app } = await serve(t, { channels: { '*': { keepEndedMs: 1 } } })
    for (let i = 0; i < 1_000; i++) void app.sse.channel(`${i}`).end('1')
    const { history } = (app.sse as unknown as { shared: { history: { lengthOf(name: string): number } } })
      .shared
    t.equal(history.lengthOf('999'), 1)
    while (history.lengthOf('999') > 0) await nextTurn()
    t.equal(history.lengthOf('0'), 0)
    await app.sse.channel('0').publish('the name is free again')
  })
})

t.test('Channel › end() in Redis', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  let prefix = 0
  await suite(t, () => ({ history: { store: redisStore({ url: redis.url, prefix: `${prefix++}:` }) } }))
})
