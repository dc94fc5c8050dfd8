import t, { type Test } from 'tap'
import { type EventReader, readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

const MANY_NODES = 'examples/many-nodes.ts'
const NODES = [1, 2, 3]

interface Counted {
  id: string
  series: number
  count: number
  node: number
}

async function readAt(t: Test, url: string, node: number, lastEventId = ''): Promise<EventReader> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const query = `lastEventId=${encodeURIComponent(lastEventId)}`
  const response = await fetch(`${url}/node-${node}/events?${query}`, { signal: leaving.signal })
  return readEvents(response, { timeoutMs: Infinity })
}

/** What is counted next; fails for anything else, but for what only tells an id. */
async function nextOf(reader: EventReader): Promise<Counted> {
  const { id, event, data } = await reader.next()
  if (event === 'sse-cursor') return await nextOf(reader)
  if (event !== 'count') throw new Error(`${event} ${data}`)
  return { id, ...JSON.parse(data) }
}

async function take(reader: EventReader, count: number): Promise<Counted[]> {
  const taken: Counted[] = []
  while (taken.length < count) taken.push(await nextOf(reader))
  return taken
}

/** What still comes on a stream that breaks. */
async function takeUntilBroken(reader: EventReader): Promise<Counted[]> {
  const taken: Counted[] = []
  try {
    while (true) taken.push(await nextOf(reader))
  } catch (error) {
    if (!(error instanceof TypeError && error.message === 'terminated')) throw error
    return taken
  }
}

async function cut(url: string, node: number): Promise<void> {
  const { status } = await fetch(`${url}/node-${node}/cut`, { method: 'POST' })
  if (status !== 204) throw new Error(`the cut was answered with ${status}`)
}

/** Counts that follow one after the other, beginning with this one. */
function countsFrom(first: number, length: number): number[] {
  return Array.from({ length }, (_, i) => first + i)
}

t.test('examples › many nodes › the server', async (nodes) => {
  const redis = await RedisServer.start()
  nodes.teardown(() => redis.stop())
  const env = { REDIS_URL: redis.url, COUNT_MS: '5' }
  const { child, url } = await Child.listening(nodes, MANY_NODES, env)

  await nodes.test('what is published on each node comes on each, with the same ids', async (t) => {
    const readers = await Promise.all(NODES.map((node) => readAt(t, url, node)))
    const taken = await Promise.all(readers.map((reader) => take(reader, 100)))
    const first = Math.max(...taken.map(([counted]) => counted?.count ?? 0))
    const common = taken.map((all) => all.filter(({ count }) => count >= first).slice(0, 50))
    t.same(
      common[0]?.map(({ count }) => count),
      countsFrom(first, 50)
    )
    t.same(
      common[0]?.map(({ node }) => node),
      countsFrom(first, 50).map((count) => ((count - 1) % 3) + 1),
      'in turn'
    )
    t.same(common[1], common[0])
    t.same(common[2], common[0])
  })

  await nodes.test(
    'who is cut at one node gets the rest at another one, and nobody else is cut',
    async (t) => {
      const bystander = await readAt(t, url, 3)
      const all: Counted[] = []
      for (let round = 1; round <= 20; round++) {
        const node = (round % 2) + 1
        const reader = await readAt(t, url, node, all.at(-1)?.id)
        all.push(...(await take(reader, 5)))
        const [rest] = await Promise.all([takeUntilBroken(reader), cut(url, node)])
        all.push(...rest)
      }
      const counts = all.map(({ count }) => count)
      t.same(counts, countsFrom(counts[0] ?? 0, counts.length))
      const seen = await take(bystander, counts.length)
      t.same(
        seen.map(({ count }) => count),
        countsFrom(seen[0]?.count ?? 0, counts.length)
      )
    }
  )

  await nodes.test('after a restart, the rest comes first, and then a series of its own', async (t) => {
    const reader = await readAt(t, url, 1)
    const before = await take(reader, 10)
    const [rest] = await Promise.all([takeUntilBroken(reader), child.kill('SIGKILL')])
    before.push(...rest)
    const second = await Child.listening(t, MANY_NODES, env)
    const after = await take(await readAt(t, second.url, 2, before.at(-1)?.id), 200)
    const all = [...before, ...after]
    const old = all.filter(({ series }) => series === before[0]?.series)
    const own = all.filter(({ series }) => series === after.at(-1)?.series)
    t.same([...old, ...own], all, 'one after the other')
    t.same(
      old.map(({ count }) => count),
      countsFrom(old[0]?.count ?? 0, old.length)
    )
    t.same(
      own.map(({ count }) => count),
      countsFrom(1, own.length)
    )
    t.notMatch(second.child.output, /"level":(50|60)/, 'nothing is logged as an error')
  })

  nodes.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})

t.test('examples › many nodes › by itself, starts a Redis of its own, and ends', async (t) => {
  const { child, url } = await Child.listening(t, MANY_NODES, { REDIS_URL: '' })
  t.match(await nextOf(await readAt(t, url, 1)), { count: Number, node: Number })
  t.same(await child.kill('SIGTERM'), { code: 0, signal: null })
})
