import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import t from 'tap'
import { openai } from '../../../examples/sdks/openai.ts'
import { testAnswers } from './answers.ts'

function ask(url: string, abortSignal: AbortSignal, onChunk: () => void): ReturnType<typeof streamText> {
  const provider = createOpenAICompatible({ name: 'parrots', baseURL: `${url}/v1` })
  const options = { maxRetries: 0, abortSignal, onChunk, onError: () => {} }
  return streamText({ model: provider('parrot'), prompt: 'Hello', ...options })
}

testAnswers(
  t,
  openai,
  {
    'ai, textStream': async (url, signal, onText) => {
      let text = ''
      for await (const piece of ask(url, signal, onText).textStream) text += piece
      return text
    },
    'ai, text': (url, signal, onText) => ask(url, signal, onText).text
  },
  { tellsWhy: false }
)
