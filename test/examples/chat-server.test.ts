import t, { type Test } from 'tap'
import { type EventReader, type ReceivedEvent, readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

async function post(url: string, body: object): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).status
}

/** The stream of somebody who has just come. */
async function enter(t: Test, url: string): Promise<EventReader> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  return readEvents(await fetch(`${url}/events`, { signal: leaving.signal }), { timeoutMs: Infinity })
}

/** What comes up to the message with this text. */
async function eventsUpTo(reader: EventReader, text: string): Promise<ReceivedEvent[]> {
  const events: ReceivedEvent[] = []
  do events.push(await reader.next())
  while (!events.at(-1)?.data.includes(text))
  return events
}

t.test('examples › chat › the server', async (chat) => {
  const { child, url } = await Child.listening(chat, 'examples/chat.ts')

  await chat.test('takes no room, name or text that is none', async (t) => {
    for (const [path, body] of [
      ['/rooms/cellar/messages', { name: 'Ada', text: 'Hello' }],
      ['/rooms/typing/messages', { name: 'Ada', text: 'Hello' }],
      ['/rooms/lobby/messages', { name: '', text: 'Hello' }],
      ['/rooms/lobby/messages', { name: 'Ada', text: ' \n' }],
      ['/rooms/lobby/messages', { name: 'Ada' }],
      ['/rooms/cellar/typing', { name: 'Ada', isTyping: true }],
      ['/rooms/lobby/typing', { name: 'Ada', isTyping: 'perhaps' }]
    ] as const) {
      t.equal(await post(url + path, body), 400, JSON.stringify([path, body]))
    }
  })

  await chat.test('tells those who come what was said in both rooms, and then what is said', async (t) => {
    t.equal(await post(`${url}/rooms/lobby/messages`, { name: 'Ada', text: 'Good morning' }), 201)
    t.equal(await post(`${url}/rooms/garden/messages`, { name: 'Bob', text: 'The beans are fine' }), 201)
    const reader = await enter(t, url)
    const history = await eventsUpTo(reader, 'The beans are fine')
    t.equal(await post(`${url}/rooms/lobby/messages`, { name: 'Bob', text: 'Good morning, Ada' }), 201)
    const events = [...history, ...(await eventsUpTo(reader, 'Good morning, Ada'))]
    const said = events.filter(({ event }) => event === 'said').map(({ data }) => JSON.parse(data))
    t.match(said, [
      { room: 'lobby', name: 'Ada', text: 'Good morning' },
      { room: 'garden', name: 'Bob', text: 'The beans are fine' },
      { room: 'lobby', name: 'Bob', text: 'Good morning, Ada' }
    ])
    t.equal(said.length, 3)
  })

  await chat.test('tells those who are there who is typing, and nobody who comes later', async (t) => {
    const reader = await enter(t, url)
    await eventsUpTo(reader, 'Good morning, Ada')
    t.equal(await post(`${url}/rooms/garden/typing`, { name: 'Carol', isTyping: true }), 204)
    t.equal(await post(`${url}/rooms/garden/messages`, { name: 'Bob', text: 'Is it you, Carol?' }), 201)
    t.equal(await post(`${url}/rooms/garden/messages`, { name: 'Bob', text: 'It must be you' }), 201)
    const typing = (events: ReceivedEvent[]): unknown[] =>
      events.filter(({ event }) => event === 'typing').map(({ data }) => JSON.parse(data))
    t.same(typing(await eventsUpTo(reader, 'It must be you')), [
      { room: 'garden', name: 'Carol', isTyping: true },
      { room: 'garden', name: 'Bob', isTyping: false }
    ])
    t.same(typing(await eventsUpTo(await enter(t, url), 'It must be you')), [])
  })

  chat.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
