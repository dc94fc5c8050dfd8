import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED } from '../base/errors.ts'
import type { Ending } from '../connection/transport/transport.ts'

type Listeners = readonly (readonly [
  event: string | symbol,
  listeners: ReturnType<EventEmitter['rawListeners']>
])[]

/** Told where a stream is piped, and what to end when it has ended. */
export type PipeListener = (destination: NodeJS.WritableStream, ending: Ending) => void

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
      if (isFirst) queueMicrotask(() => (this.#before = undefined))
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
    this.#onPipe(destination, isEnded ? destination : this)
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
}
