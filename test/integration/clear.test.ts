import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/history/redis/redis-store.ts'
import type { EventStreamOptions } from '../../lib/index.ts'
import { readEvents } from '../../lib/testing/testing.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { build, listen } from '../helpers/server.ts'
import { NewShelf, ShelfStore } from '../helpers/shelf-store.ts'

async function serve(
  t: Test,
  options: EventStreamOptions = {}
): Promise<{ app: FastifyInstance; url: string }> {
  const app = await build(t, { farewell: false, ...options })
  app.get<{ Params: { name: string } }>('/:name', async ({ params }, reply) => {
    app.sse.channel(params.name).subscribe(reply.sseStart(), { from: 'oldest' })
  })
  return { app, ...(await listen(app)) }
}

async function suite(t: Test, options: () => EventStreamOptions): Promise<void> {
  t.test('forgets all messages, and goes on', async (t) => {
    const { app } = await serve(t, options())
    const channel = app.sse.channel('a')
    await channel.publish(['1', '2'])
    await channel.clear()
    t.match(await channel.info(), { messages: 0, bytes: 0, oldest: undefined, ended: false })
    await channel.publish('3')
    await channel.clear()
    await channel.clear()
    await channel.publish('4')
    const { value } = await channel.read().next()
    t.match(value, { type: 'message', data: '4' })
    t.match(await channel.info(), { messages: 1 })
  })

  t.test('tells no gap to who has everything and is there', async (t) => {
    const { app, url } = await serve(t, options())
    const channel = app.sse.channel('a')
    const events = readEvents(await fetch(`${url}/a`))
    await channel.publish('1')
    t.equal((await events.next('message')).data, '1')
    await channel.clear()
    await channel.publish('2')
    let event = await events.next()
    while (event?.event === 'sse-cursor') event = await events.next()
    t.match(event, { event: 'message', data: '2' })
  })

  t.test('tells a gap to who is just given what is there', async (t) => {
    const app = await build(t, options())
    const channel = app.sse.channel('a')
    await channel.publish(['1', '2', '3'])
    let cleared: Promise<void> | undefined
    const filter = (): boolean => {
      cleared ??= channel.clear()
      return true
    }
    app.get('/', async (_request, reply) => {
      channel.subscribe(reply.sseStart(), { from: 'oldest', filter })
    })
    const { url } = await listen(app)
    const events = readEvents(await fetch(url))
    t.equal((await events.next('message')).data, '1')
    await cleared
    await channel.publish('4')
    const given: string[] = []
    while (given.at(-1) !== '4') {
      const { event, data } = await events.next()
      if (event !== 'sse-cursor') given.push(event === 'gap' ? event : data)
    }
    const isWhole = given.includes('2') && given.includes('3')
    t.equal(given.includes('gap'), !isWhole, `${given}`)
  })

  t.test('tells a gap to who is behind', async (t) => {
    const { app, url } = await serve(t, options())
    const channel = app.sse.channel('a')
    const [first = ''] = await channel.publish(['1', '2'])
    await channel.clear()
    await channel.publish('3')
    const events = readEvents(await fetch(`${url}/a`, { headers: { 'last-event-id': first } }))
    t.equal((await events.next('gap')).data, '{"channel":"a","reason":"expired"}')
    t.equal((await events.next('message')).data, '3')
  })

  t.test('forgets that the channel has ended', async (t) => {
    const { app, url } = await serve(t, options())
    const channel = app.sse.channel('a')
    await channel.end('1')
    await channel.clear()
    await channel.publish('2')
    t.match(await channel.info(), { messages: 1, ended: false })
    const events = readEvents(await fetch(`${url}/a`))
    t.equal((await events.next('message')).data, '2')
  })
}

t.test('Channel › clear() in memory', async (t) => {
  await suite(t, () => ({}))

  t.test('a store that cannot do it says so', async (t) => {
    const { app } = await serve(t, { history: { store: new ShelfStore(new NewShelf()) } })
    await t.rejects(app.sse.channel('a').clear(), { code: 'FST_ERR_EVENTSTREAM_NOT_SUPPORTED' })
  })
})

t.test('Channel › clear() in Redis', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  let prefix = 0
  const options = (): EventStreamOptions => ({
    history: { store: redisStore({ url: redis.url, prefix: `${prefix++}:` }) }
  })
  await suite(t, options)

  t.test('is told to all servers', async (t) => {
    const own = prefix++
    const store = (): EventStreamOptions => ({
      history: { store: redisStore({ url: redis.url, prefix: `${own}:` }) }
    })
    const [one, other] = [await serve(t, store()), await serve(t, store())]
    await one.app.sse.channel('a').publish('1')
    const events = readEvents(await fetch(`${other.url}/a`))
    t.equal((await events.next('message')).data, '1')
    await one.app.sse.channel('a').clear()
    await one.app.sse.channel('a').publish('2')
    t.equal((await events.next('message')).data, '2')
    const late = readEvents(await fetch(`${other.url}/a`))
    t.equal((await late.next('message')).data, '2', 'what was forgotten is not in memory there')
  })
})
