import t from 'tap'
import { readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

/** Most of an hour of tokens: nobody waits for the end. */
const LONG = 'word '.repeat(60_000)

/** Asks as LLM clients do: with an `Accept` of JSON, also for a stream. */
function ask(url: string, body: object, signal: AbortSignal | null = null): Promise<Response> {
  return fetch(`${url}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
    signal
  })
}

t.test('examples › llm-tokens', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/llm-tokens.ts')

  await t.test('streams the tokens, and says when it is done', async (t) => {
    const response = await ask(url, { prompt: 'Hello there', stream: true })
    t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const all: string[] = []
    for await (const { data } of readEvents(response)) all.push(data)
    t.equal(all.pop(), '[DONE]')
    t.same(
      all.map((data) => JSON.parse(data).token),
      ['You ', 'said: ', 'Hello ', 'there']
    )
  })

  await t.test('answers with one JSON body if no stream is asked for', async (t) => {
    const response = await ask(url, { prompt: 'Hello there' })
    t.match(response.headers.get('content-type'), 'application/json')
    t.same(await response.json(), { text: 'You said: Hello there' })
  })

  await t.test('refuses a body without a prompt', async (t) => {
    t.equal((await ask(url, { stream: true })).status, 400)
  })

  await t.test('stops the model when the client leaves the stream', async (t) => {
    const left = new AbortController()
    const response = await ask(url, { prompt: LONG, stream: true }, left.signal)
    const { data } = await readEvents(response, { timeoutMs: Infinity }).next()
    t.equal(data, '{"token":"You "}')
    t.notMatch(child.output, 'the model was told to stop')
    left.abort()
    await child.until(/the model was told to stop/)
    await child.until(/"reason":"client"/)
  })

  await t.test('stops the model when the client does not wait for the JSON', async (t) => {
    const left = new AbortController()
    const response = ask(url, { prompt: LONG }, left.signal)
    await child.until(/(?:the model was asked[\s\S]*){4}/)
    left.abort()
    await t.rejects(response, { name: 'AbortError' })
    await child.until(/(?:the model was told to stop[\s\S]*){2}/)
  })

  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
