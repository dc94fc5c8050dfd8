import { kill } from 'node:process'
import t from 'tap'
import { type EventReader, readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

/** Somebody with a cookie of their own. */
class User {
  readonly #url: string
  readonly #cookie: string

  private constructor(url: string, cookie: string) {
    this.#url = url
    this.#cookie = cookie
  }

  static async come(url: string): Promise<User> {
    const response = await fetch(url)
    await response.text()
    const [cookie = ''] = response.headers.getSetCookie()
    return new User(url, cookie.split(';')[0] ?? '')
  }

  async ask(id: string, question: string): Promise<number> {
    const headers = { cookie: this.#cookie, 'content-type': 'application/json' }
    const body = JSON.stringify({ question })
    return (await fetch(`${this.#url}/answers/${id}`, { method: 'PUT', headers, body })).status
  }

  /** Again when its connection breaks, as an EventSource does. */
  get(path: string, lastEventId = ''): Promise<Response> {
    const headers = { cookie: this.#cookie, ...(lastEventId !== '' && { 'last-event-id': lastEventId }) }
    const get = (): Promise<Response> => fetch(this.#url + path, { headers }).catch(get)
    return get()
  }

  async read(path: string, lastEventId?: string): Promise<EventReader> {
    return readEvents(await this.get(path, lastEventId), { timeoutMs: Infinity })
  }

  stop(id: string): Promise<Response> {
    return fetch(`${this.#url}/answers/${id}`, { method: 'DELETE', headers: { cookie: this.#cookie } })
  }
}

/** The words of an answer up to its end, and how that was. */
async function answerOf(reader: EventReader): Promise<{ text: string; state: string }> {
  let text = ''
  for (;;) {
    const { event, data } = await reader.next()
    if (event === 'word') text += JSON.parse(data).word
    if (event === 'end') return { text, state: JSON.parse(data).state }
  }
}

t.test('examples › answers › on one node', async (answers) => {
  const { child, url } = await Child.listening(answers, 'examples/answers.ts', { WORD_MS: '5' })
  const ann = await User.come(url)
  const whole = 'You asked: why? '.repeat(8)

  await answers.test('an answer is the same for all tabs, from the first word', async (t) => {
    const questions = await ann.read('/questions')
    t.equal(await ann.ask('1', 'why?'), 201)
    t.equal(await ann.ask('1', 'why?'), 200, 'it is asked once')
    t.match(JSON.parse((await questions.next('question')).data), { id: '1', question: 'why?' })
    const tabs = await Promise.all([ann.read('/answers/1'), ann.read('/answers/1')])
    t.same(await Promise.all(tabs.map(answerOf)), Array(2).fill({ text: whole, state: 'done' }))
    t.same(await answerOf(await ann.read('/answers/1')), { text: whole, state: 'done' })
  })

  await answers.test('who comes back gets the rest', async (t) => {
    const reader = await ann.read('/answers/1')
    const { id, data } = await reader.next('word')
    const { text } = await answerOf(await ann.read('/answers/1', id))
    t.equal(JSON.parse(data).word + text, whole)
  })

  await answers.test('only who has asked reads and stops it, anywhere', async (t) => {
    const eve = await User.come(url)
    t.equal(await ann.ask('2', 'how long? '.repeat(40)), 201)
    t.equal((await eve.get('/answers/2')).status, 404)
    t.equal((await eve.stop('2')).status, 404)
    const reader = await ann.read('/answers/2')
    await reader.next('word')
    t.same(await (await ann.stop('2')).json(), { state: 'stopped' })
    t.match(await answerOf(reader), { state: 'stopped' })
  })

  answers.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})

t.test('examples › answers › on two nodes, of which one is killed', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const env = { NODES: '2', REDIS_URL: redis.url, WORD_MS: '20', LEASE_MS: '500' }
  const { url, child } = await Child.listening(t, 'examples/answers.ts', env)
  // Nodes share a port as long as one of them has it.
  await child.until(/(Server listening[\s\S]*){2}/)
  const ann = await User.come(url)
  t.equal(await ann.ask('1', 'why? '.repeat(90)), 201)
  const reader = await ann.read('/answers/1')
  const { pid } = JSON.parse((await reader.next('node')).data)
  await reader.next('word')
  kill(pid, 'SIGKILL')
  t.match(await answerOf(await ann.read('/answers/1')), { state: 'lost' })
  t.equal(await ann.ask('1', 'again'), 201)
  t.same(await answerOf(await ann.read('/answers/1')), { text: 'You asked: again '.repeat(8), state: 'done' })
  t.same(await child.kill('SIGTERM'), { code: 0, signal: null }, 'all end when they are told')
})
