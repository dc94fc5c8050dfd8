import OpenAI from 'openai'
import t from 'tap'
import { openai } from '../../../examples/sdks/openai.ts'
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
