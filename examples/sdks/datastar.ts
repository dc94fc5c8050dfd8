import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Message } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import type { Model } from './model.ts'

interface EventOptions {
  readonly eventId?: string
  readonly retryDuration?: number
}

export interface ElementOptions extends EventOptions {
  readonly selector?: string
  readonly mode?: 'outer' | 'inner' | 'replace' | 'prepend' | 'append' | 'before' | 'after' | 'remove'
  readonly namespace?: 'html' | 'svg' | 'mathml'
  readonly useViewTransition?: boolean
}

export interface SignalOptions extends EventOptions {
  readonly onlyIfMissing?: boolean
}

export interface ScriptOptions extends EventOptions {
  readonly attributes?: Readonly<Record<string, string>>
  readonly autoRemove?: boolean
}

/** What need not be said. */
const DEFAULTS: Record<string, unknown> = {
  mode: 'outer',
  namespace: 'html',
  useViewTransition: false,
  onlyIfMissing: false
}

/** A message that changes elements of the page, for `send()` and `publish()`. None are needed to `remove` by a selector. */
export function patchElements(elements: string, options: ElementOptions = {}): Message {
  return messageOf('datastar-patch-elements', options, elements && { elements })
}

/** A message that changes the page's signals, also given as JSON; `null` removes one. */
export function patchSignals(signals: object | string, options: SignalOptions = {}): Message {
  const json = typeof signals === 'string' ? signals : JSON.stringify(signals)
  return messageOf('datastar-patch-signals', options, { signals: json })
}

/** A message that runs a script in the page, with what attributes its element shall have. */
export function executeScript(script: string, options: ScriptOptions = {}): Message {
  const { attributes = {}, autoRemove = true, ...others } = options
  const all = { ...attributes, ...(autoRemove && { 'data-effect': 'el.remove()' }) }
  const written = Object.entries(all).map(([name, value]) => ` ${name}="${value}"`)
  return patchElements(`<script${written.join('')}>${script}</script>`, {
    ...others,
    selector: 'body',
    mode: 'append'
  })
}

/** The page's signals, as its `@get()`, `@post()` and the others send them. */
export function signalsOf({ method, query, body }: FastifyRequest): unknown {
  const isInQuery = method === 'GET' || method === 'DELETE'
  return isInQuery ? JSON.parse((query as { datastar: string }).datastar) : body
}

function messageOf(
  event: string,
  options: ElementOptions & SignalOptions,
  content: object | string
): Message {
  const { eventId: id, retryDuration: retry, ...fields } = options
  const said = Object.entries({ ...fields, ...Object(content) }).filter(
    ([name, value]) => DEFAULTS[name] !== value
  )
  const lines = said.flatMap(([name, value]) =>
    String(value)
      .split(/\r\n?|\n/)
      .map((line) => `${name} ${line}`)
  )
  return {
    event,
    data: lines.join('\n'),
    ...(id !== undefined && { id }),
    ...(retry !== undefined && { retry })
  }
}

/** An answer that grows in the signal `answer`, to the signal `question`. */
export async function datastar(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  app.post('/datastar/answer', async (request, reply) => {
    const sse = reply.sseStart()
    const { question } = signalsOf(request) as { question: string }
    let answer = ''
    await sse.sendAll(model(question, sse.signal), (word) => {
      answer += word
      return patchSignals({ answer })
    })
    await sse.send(patchElements('<p id="state">That is all.</p>'))
    sse.close()
  })
}
