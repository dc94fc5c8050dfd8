import { ServerSentEventGenerator as Sdk } from '@starfederation/datastar-sdk/web'
import t from 'tap'
import {
  datastar,
  executeScript,
  patchElements,
  patchSignals,
  signalsOf
} from '../../../examples/sdks/datastar.ts'
import type { Message } from '../../../lib/index.ts'
import { readEvents } from '../../../lib/testing/testing.ts'
import { build, listen } from '../../helpers/server.ts'

const IDENTITY = { eventId: '7', retryDuration: 2000 }
const LINES = '<ul id="list">\n  <li>One</li>\n</ul>'

/** What the SDK writes, and the message that is the same. */
const CASES: Record<string, [theirs: (sdk: Sdk) => unknown, ours: Message]> = {
  'elements of several lines': [(sdk) => sdk.patchElements(LINES), patchElements(LINES)],
  'elements with all options': [
    (sdk) =>
      sdk.patchElements('<circle/>', {
        selector: 'svg',
        mode: 'append',
        namespace: 'svg',
        useViewTransition: true,
        ...IDENTITY
      }),
    patchElements('<circle/>', {
      selector: 'svg',
      mode: 'append',
      namespace: 'svg',
      useViewTransition: true,
      ...IDENTITY
    })
  ],
  'elements with options that are the default': [
    (sdk) => sdk.patchElements('<p/>', { mode: 'outer', namespace: 'html', useViewTransition: false }),
    patchElements('<p/>', { mode: 'outer', namespace: 'html', useViewTransition: false })
  ],
  'elements to be removed': [
    (sdk) => sdk.removeElements('#old'),
    patchElements('', { selector: '#old', mode: 'remove' })
  ],
  signals: [
    (sdk) => sdk.patchSignals('{"count":1}', { onlyIfMissing: true, ...IDENTITY }),
    patchSignals({ count: 1 }, { onlyIfMissing: true, ...IDENTITY })
  ],
  'signals in JSON of several lines': [
    (sdk) => sdk.patchSignals('{\n  "count": 1\n}', { onlyIfMissing: false }),
    patchSignals('{\n  "count": 1\n}', { onlyIfMissing: false })
  ],
  'signals to be removed': [
    (sdk) => sdk.removeSignals(['one', 'two']),
    patchSignals({ one: null, two: null })
  ],
  'a script': [(sdk) => sdk.executeScript('one()\ntwo()'), executeScript('one()\ntwo()')],
  'a script with attributes that stays': [
    (sdk) => sdk.executeScript('one()', { attributes: { type: 'module' }, autoRemove: false, ...IDENTITY }),
    executeScript('one()', { attributes: { type: 'module' }, autoRemove: false, ...IDENTITY })
  ]
}

/** The lines of an event: their order has a meaning only among those of one name. */
function linesOf(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .sort((a, b) => nameOf(a).localeCompare(nameOf(b)))
}

function nameOf(line: string): string {
  return /^data: \w+|^\w+/.exec(line)?.[0] ?? ''
}

for (const [name, [theirs, ours]] of Object.entries(CASES)) {
  t.test(`Datastar › ${name} as by its own SDK`, async (t) => {
    const app = await build(t)
    app.post('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send(ours)
      sse.close()
    })
    const { url } = await listen(app)
    const expected = await Sdk.stream((sdk) => void theirs(sdk)).text()
    t.same(linesOf(await (await fetch(url, { method: 'POST' })).text()), linesOf(expected))
  })
}

t.test('Datastar › each line has its name, whatever ends it', (t) => {
  const { data } = patchElements('<p>one\r\ntwo\rthree\n</p>')
  t.equal(data, 'elements <p>one\nelements two\nelements three\nelements </p>')
  t.end()
})

t.test('Datastar › a message can be published, and needs no connection', async (t) => {
  const app = await build(t)
  app.get(
    '/',
    async (_request, reply) => void app.sse.channel('list').subscribe(reply.sseStart(), { from: 'oldest' })
  )
  const id = await app.sse.channel('list').publish(patchElements(LINES) as { data: string })
  const left = new AbortController()
  const events = readEvents(await fetch((await listen(app)).url, { signal: left.signal }))
  const data = 'elements <ul id="list">\nelements   <li>One</li>\nelements </ul>'
  t.same(await events.next(), { id, event: 'datastar-patch-elements', data })
  left.abort()
})

t.test('Datastar › signals are read from the query or the body', async (t) => {
  const app = await build(t)
  app.all('/', async (request) => signalsOf(request))
  const { url } = await listen(app)
  const signals = { question: 'Who?', nested: { count: 1 } }
  const query = `?datastar=${encodeURIComponent(JSON.stringify(signals))}`
  const headers = { 'content-type': 'application/json' }
  for (const method of ['GET', 'DELETE']) t.same(await (await fetch(url + query, { method })).json(), signals)
  for (const method of ['POST', 'PUT', 'PATCH']) {
    t.same(await (await fetch(url, { method, headers, body: JSON.stringify(signals) })).json(), signals)
  }
})

t.test('Datastar › an answer grows in a signal', async (t) => {
  const app = await build(t)
  const asked: string[] = []
  await app.register(datastar, {
    model: async function* (question: string) {
      asked.push(question)
      yield* ['One ', 'two']
    }
  })
  const { url } = await listen(app)
  const response = await fetch(`${url}/datastar/answer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ question: 'Count' })
  })
  const signals = (answer: string): string =>
    `event: datastar-patch-signals\ndata: signals ${JSON.stringify({ answer })}\n\n`
  t.equal(
    await response.text(),
    `${signals('One ')}${signals('One two')}event: datastar-patch-elements\ndata: elements <p id="state">That is all.</p>\n\n`
  )
  t.same(asked, ['Count'])
})
