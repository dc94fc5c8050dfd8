import { EventEmitter } from 'node:events'
import { type OutgoingHttpHeaders, ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'
import { Readable } from 'node:stream'
import { FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED } from '../base/errors.ts'
import type { Ending } from '../connection/transport/transport.ts'

type Listeners = readonly (readonly [
  event: string | symbol,
  listeners: ReturnType<EventEmitter['rawListeners']>
])[]

/**
 * Told where a stream is piped.
 *
 * @param ending what to end when the stream has ended.
 * @param headers what is to be in the head and was not set on the response.
 */
export type PipeListener = (
  destination: NodeJS.WritableStream,
  ending: Ending,
  headers: OutgoingHttpHeaders
) => void

/**
 * What Fastify sends in the stream's place. It never gives a byte: its `pipe()` tells where the stream shall go, once
 * the head is complete.
 */
export class HandOver extends Readable implements Ending {
  readonly #response: EventEmitter
  readonly #onPipe: PipeListener
  readonly #isEmpty: boolean
  /** Who listened to the response when this was last listened to in this turn. */
  #before: Listeners | undefined
  /** What was to be set on the response since this was first listened to. */
  #headers: OutgoingHttpHeaders | undefined
  #isPiped = false

  /** @param isEmpty whether the head is all that is asked for, so that whoever reads this replaces nothing. */
  constructor(response: EventEmitter, onPipe: PipeListener, isEmpty = false) {
    super()
    this.#response = response
    this.#onPipe = onPipe
    this.#isEmpty = isEmpty
    this.on('newListener', () => {
      if (this.#isPiped) return
      const isFirst = this.#before === undefined
      this.#before = response.eventNames().map((event) => [event, response.rawListeners(event)])
      if (!isFirst) return
      this.#holdHeaders()
      queueMicrotask(() => {
        this.#before = undefined
        this.#setHeaders()
      })
    })
  }

  /** There is nothing to read but the end: a stream goes where it is piped. */
  override _read(): void {
    if (this.#isEmpty) this.push(null)
    else if (!this.#isPiped) this.destroy(new FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED())
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T, options?: { end?: boolean }): T {
    const isEnded = options?.end !== false
    this.#isPiped = true
    if (isEnded) this.end()
    if (isEnded && (destination as unknown) === this.#response) this.#dropWatchers()
    if ((destination as unknown) !== this.#response) this.#setHeaders()
    this.#onPipe(destination, isEnded ? destination : this, this.#releaseHeaders())
    return destination
  }

  /** Ends this, on which Fastify drops its listeners, and ends a response that has trailers. */
  end(): void {
    this.push(null)
    this.resume()
  }

  /**
   * Fastify watches first what it sends, then the response, for a payload that would have to be destroyed. This one has
   * ended by now, so what came to the response since has no work left, and is half the heap of an idle stream. What a tracer
   * has put in place of the response's methods would wrap its listeners again, and nobody could remove them then.
   */
  #dropWatchers(): void {
    if (this.#before === undefined) return
    const { on, removeAllListeners } = EventEmitter.prototype
    removeAllListeners.call(this.#response)
    for (const [event, listeners] of this.#before) {
      for (const listener of listeners) on.call(this.#response, event, listener as () => void)
    }
  }

  /**
   * Fastify sets the headers of what it streams one by one, and Node keeps them so for as long as the response lasts: half a kilobyte of an
   * idle stream. Held back they go out by `writeHead()`, as those of its other answers do, and the reply alone knows them then.
   */
  #holdHeaders(): void {
    const response = this.#response
    if (!(response instanceof ServerResponse)) return
    if (Object.hasOwn(response, 'setHeader') || Object.hasOwn(response, 'writeHead')) return
    const headers: OutgoingHttpHeaders = {}
    this.#headers = headers
    response.setHeader = (name, value) => {
      try {
        validateHeaderName(name)
        validateHeaderValue(name, value as string)
      } catch (error) {
        this.#setHeaders()
        throw error
      }
      headers[name] = value as string
      return response
    }
    response.writeHead = ((...args: Parameters<typeof response.writeHead>) => {
      this.#setHeaders()
      return response.writeHead(...args)
    }) as typeof response.writeHead
  }

  /** @returns what was held. */
  #releaseHeaders(): OutgoingHttpHeaders {
    const headers = this.#headers
    if (headers === undefined) return {}
    this.#headers = undefined
    Reflect.deleteProperty(this.#response, 'writeHead')
    Reflect.deleteProperty(this.#response, 'setHeader')
    return headers
  }

  /** Something else goes where this was to go, be it an error. */
  #setHeaders(): void {
    const response = this.#response
    const headers = this.#releaseHeaders()
    if (!(response instanceof ServerResponse)) return
    for (const [name, value = ''] of Object.entries(headers)) response.setHeader(name, value)
  }
}
