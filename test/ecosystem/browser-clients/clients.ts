import type { Test } from 'tap'
import type { EventStreamOptions } from '../../../lib/index.ts'
import { bundle } from '../../client/bundle.ts'
import { until } from '../../helpers/server.ts'
import { Recorder } from '../browsers/recorder.ts'
import { type Browser, last, open, type Page, type Site, site } from '../browsers/site.ts'

/** A client of somebody else's, by the name of its page in `pages/`. */
interface Client {
  readonly name: string
  /** Otherwise it comes again after a `204`, for ever. */
  readonly stopsAt204: boolean
}

const CLIENTS: readonly Client[] = [
  { name: 'event-source', stopsAt204: true },
  { name: 'reconnecting-eventsource', stopsAt204: false },
  { name: 'event-source-polyfill', stopsAt204: true },
  { name: 'fetch-event-source', stopsAt204: true },
  { name: 'sse', stopsAt204: false },
  { name: 'eventsource-client', stopsAt204: true },
  { name: 'htmx-ext-sse', stopsAt204: false },
  { name: 'react', stopsAt204: true },
  { name: 'vue', stopsAt204: true }
]

/** What is expected of every client. */
export async function testClients(t: Test, browser: Browser): Promise<void> {
  for (const client of CLIENTS) await t.test(client.name, (t) => testClient(t, browser, client))
}

async function testClient(t: Test, browser: Browser, { name, stopsAt204 }: Client): Promise<void> {
  await t.test('goes on after a cut, with nothing lost and nothing twice', async (t) => {
    const { news, page, streams } = await feed(t, browser, name)
    for (const sse of streams) sse.destroy()
    void news.publish('two')
    await upTo(page, 'two')
    void news.publish('three')
    t.same(await upTo(page, 'three'), ['one', 'two', 'three'])
  })

  await t.test('is told a gap', async (t) => {
    const { news, page, streams } = await feed(t, browser, name, { channels: { news: { maxMessages: 1 } } })
    for (const sse of streams) sse.destroy()
    for (const data of ['two', 'three', 'four']) void news.publish(data)
    t.same(await upTo(page, 'four'), ['one', 'gap {"channel":"news","reason":"expired"}', 'four'])
  })

  await t.test('stays away when its page closes it at the farewell', async (t) => {
    const farewell = { event: 'close', data: 'Closing the connection' }
    const { asked, page, streams } = await feed(t, browser, name, { farewell })
    const requests = (): number => asked.filter(({ path }) => path.startsWith('/feed')).length
    const before = requests()
    for (const sse of streams) sse.close()
    t.same(await upTo(page, 'closed'), ['one', 'closed'])
    await anotherComesBack(page, streams)
    t.equal(requests(), before)
  })

  await t.test(stopsAt204 ? 'stops at 204' : 'does not stop at 204', async (t) => {
    const { news, page, streams, statuses } = await feed(t, browser, name)
    await news.end()
    if (!stopsAt204) {
      await until(() => statuses.filter((status) => status === 204).length > 2)
      return
    }
    t.same(await upTo(page, 'closed'), ['one', 'closed'])
    await anotherComesBack(page, streams)
    t.equal(statuses.filter((status) => status === 204).length, 1)
  })
}

/** A page with the client, which was given a first message. */
async function feed(t: Test, browser: Browser, name: string, plugin: EventStreamOptions = {}) {
  const stage = await site(t, plugin)
  const { app, streams } = stage
  const news = app.sse.channel('news')
  const statuses: number[] = []
  const client = await bundle(`../ecosystem/browser-clients/pages/${name}.js`, 'development')
  app.get('/client.js', async (_request, reply) => reply.type('text/javascript').send(client))
  app.get(
    '/feed',
    { onResponse: async (_request, reply) => statuses.push(reply.statusCode) },
    async (_request, reply) => {
      const sse = reply.sseStart()
      streams.push(sse)
      sse.send({ retry: 1 })
      news.subscribe(sse, { from: 'oldest' })
    }
  )
  const { page } = await open(t, browser, stage)
  void news.publish('one')
  await page.evaluate(`document.head.append(
    Object.assign(document.createElement('script'), { type: 'module', src: '/client.js' })
  )`)
  await until(() => streams.length > 0)
  await upTo(page, 'one')
  return { ...stage, news, page, statuses }
}

/** All that is shown when this is. */
function upTo(page: Page, text: string): Promise<unknown> {
  return page.evaluate(`upTo('${text}')`)
}

/** Who would have come back has by then. */
async function anotherComesBack(page: Page, streams: Site['streams']): Promise<void> {
  const source = await Recorder.open(page, '/stream')
  await source.states(2)
  last(streams).destroy()
  await source.states(4)
}
