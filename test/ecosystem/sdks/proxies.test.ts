import OpenAI from 'openai'
import t from 'tap'
import { openai } from '../../../examples/sdks/openai.ts'
import { haproxy } from '../../helpers/programs/haproxy.ts'
import { nginx } from '../../helpers/programs/nginx.ts'
import { type ProxyProgram, ReverseProxy } from '../../helpers/reverse-proxy.ts'
import { type Reader, testAnswers } from './answers.ts'

/** Of the ways to read an answer, the one that takes a short one for whole unless the response breaks off. */
const byChunk: Reader = async (url, signal, onText) => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'Hello' }]
  let text = ''
  for await (const { choices } of await client.chat.completions.create(
    { model: 'parrot', messages, stream: true },
    { signal }
  )) {
    text += choices[0]?.delta.content ?? ''
    onText()
  }
  return text
}

function testBehind(
  name: string,
  program: ProxyProgram,
  tellsWhy = true,
  edits: Record<string, string> = {}
): void {
  testAnswers(
    t,
    openai,
    { [`openai behind ${name}`]: byChunk },
    {
      tellsWhy,
      front: async (t, upstream) => (await ReverseProxy.start(t, program, { upstream, edits })).port
    }
  )
}

testBehind('nginx', nginx)
// A reset, which is all that HTTP/1.0 has, may overtake the last words.
testBehind('nginx that asks by HTTP/1.0', nginx, false, { 'proxy_http_version 1.1;': '' })
testBehind('HAProxy', haproxy)
