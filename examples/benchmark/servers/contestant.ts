import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One open stream of a contestant. It adds nothing to what the contestant itself does. */
export interface Stream {
  readonly url: string
  /** Sends one event the way the contestant's README does. What it returns is waited for. */
  send(data: string): PromiseLike<unknown> | undefined
  /** Sends without any care for backpressure, where that is another call than a `send()` that nobody waits for. */
  sendCarelessly?(data: string): void
  /** Bytes that this process holds for the client. */
  readonly bufferedBytes: number
  readonly isGone: boolean
  /** Why it is gone, if the contestant tells. */
  readonly reason?: string | undefined
}

/** Gets every stream that is opened. Scenarios that need none leave it out, and nothing keeps the streams. */
export type StreamListener = (stream: Stream) => void

/** A server that answers every GET by an event stream. */
export interface Contestant {
  readonly server: Server
  listen(): Promise<unknown>
  /** What the contestant's users call to shut down. */
  close(): Promise<unknown>
  /** Ends all streams, if it can. */
  closeStreams?(): void
  /** Streams that the contestant says are open, if it can. */
  connections?(): number
}

export type StartContestant = (streamOnOpen: StreamListener) => Promise<Contestant>

export const LISTEN = { port: 0, host: '127.0.0.1', backlog: 4096 } as const

/** The headers that every contestant sends in one form or another. */
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'private, no-cache, no-store, no-transform',
  'x-accel-buffering': 'no'
} as const

export function portOf({ server }: { server: Pick<Server, 'address'> }): number {
  return (server.address() as AddressInfo).port
}

/** What streams on a raw response have in common. */
export class ResponseStream {
  readonly url: string
  readonly response: ServerResponse

  constructor(response: ServerResponse) {
    this.url = response.req.url ?? ''
    this.response = response
  }

  get bufferedBytes(): number {
    return this.response.writableLength
  }

  get isGone(): boolean {
    return this.response.destroyed
  }
}

/** The bare loop: writes, and waits for `drain` when `write()` says so. */
export class BareStream extends ResponseStream implements Stream {
  send(data: string): Promise<void> | undefined {
    const { response } = this
    if (response.write(`data: ${data}\n\n`)) return undefined
    return new Promise((resolve) => response.once('drain', resolve))
  }

  sendCarelessly(data: string): void {
    this.response.write(`data: ${data}\n\n`)
  }
}
