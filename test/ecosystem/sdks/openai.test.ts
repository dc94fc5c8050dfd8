import OpenAI from 'openai'
import t from 'tap'
import { openai } from '../../../examples/sdks/openai.ts'
import { build } from '../../helpers/server.ts'
import { testAnswers } from './answers.ts'

const QUESTION = { model: 'parrot', messages: [{ role: 'user' as const, content: 'Hello' }] }

function completionsOf(url: string): OpenAI.Chat.Completions {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }).chat.completions
}

testAnswers(
  t,
  openai,
  {
    'openai, chunk by chunk': async (url, signal, onText) => {
      let text = ''
      for await (const { choices } of await completionsOf(url).create(
        { ...QUESTION, stream: true },
        { signal }
      )) {
        text += choices[0]?.delta.content ?? ''
        onText()
      }
      return text
    },
    'openai, stream()': async (url, signal, onText) => {
      const stream = completionsOf(url).stream(QUESTION, { signal }).on('content', onText)
      return (await stream.finalContent()) ?? ''
    }
  },
  { tellsWhy: true }
)

t.test(
  'openai › the time of a chunk is whole seconds, without which typed clients do not read it',
  async (t) => {
    const app = await build(t)
    await app.register(openai, {
      model: async function* () {
        yield 'Hello'
      }
    })
    const payload = { ...QUESTION, stream: true }
    const { body } = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload })
    const times = [...body.matchAll(/"created":([\d.]+)/g)].map(([, created]) => Number(created))
    t.equal(times.length, 2)
    for (const time of times) t.ok(Number.isInteger(time))
  }
)
