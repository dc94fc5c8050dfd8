import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { anthropic } from '../../../examples/sdks/anthropic.ts'
import { testAnswers } from './answers.ts'

const QUESTION = { model: 'parrot', max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hello' }] }

function messagesOf(url: string): Anthropic.Messages {
  return new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 }).messages
}

testAnswers(
  t,
  anthropic,
  {
    '@anthropic-ai/sdk, event by event': async (url, signal, onText) => {
      let text = ''
      for await (const event of await messagesOf(url).create({ ...QUESTION, stream: true }, { signal })) {
        if (event.type !== 'content_block_delta' || event.delta.type !== 'text_delta') continue
        text += event.delta.text
        onText()
      }
      return text
    },
    '@anthropic-ai/sdk, stream()': (url, signal, onText) =>
      messagesOf(url).stream(QUESTION, { signal }).on('text', onText).finalText()
  },
  { tellsWhy: true }
)
