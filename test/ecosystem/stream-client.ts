import { readFileSync } from 'node:fs'
import { get as httpGet, type IncomingHttpHeaders } from 'node:http'
import { connect as http2Connect } from 'node:http2'
import { get as httpsGet } from 'node:https'
import type { Readable } from 'node:stream'

/** The tests' own certificate, for servers and for clients that trust it. */
export const TLS = {
  key: readFileSync(new URL('../fixtures/key.pem', import.meta.url)),
  cert: readFileSync(new URL('../fixtures/cert.pem', import.meta.url))
}

interface Head {
  readonly status: number
  readonly headers: IncomingHttpHeaders
}

/** A client of one answer: its head, and the bytes that have come so far. */
export class StreamClient {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Resolves when the answer has ended or was cut off. */
  readonly ended: Promise<void>
  /** Ends the connection. */
  readonly leave: () => void
  #received = ''
  #isOver = false
  #waiters: (() => void)[] = []

  private constructor({ status, headers }: Head, body: Readable, leave: () => void) {
    this.status = status
    this.headers = headers
    this.leave = leave
    body.setEncoding('utf8').on('data', (text: string) => {
      this.#received += text
      this.#wake()
    })
    body.on('error', () => {})
    this.ended = new Promise((resolve) => {
      body.once('close', () => {
        this.#isOver = true
        resolve()
        this.#wake()
      })
    })
  }

  /** Asks over HTTP/1.1, on a connection of its own. */
  static get(url: string, headers: Record<string, string>): Promise<StreamClient> {
    const { get, tls } = url.startsWith('https:')
      ? { get: httpsGet, tls: { ca: TLS.cert } }
      : { get: httpGet, tls: {} }
    return new Promise((resolve, reject) => {
      const request = get(url, { ...tls, agent: false, headers }, (response) => {
        const head = { status: response.statusCode ?? 0, headers: response.headers }
        resolve(new StreamClient(head, response, () => request.destroy()))
      })
      request.on('error', reject)
    })
  }

  /** Asks over HTTP/2, on a connection of its own. */
  static get2(url: string): Promise<StreamClient> {
    return new Promise((resolve, reject) => {
      const session = http2Connect(url, { ca: TLS.cert })
      const stream = session.on('error', reject).request({ ':path': new URL(url).pathname })
      stream.on('error', reject)
      stream.once('close', () => reject(new Error('closed without an answer')))
      stream.once('response', ({ ':status': status = 0, ...headers }) => {
        resolve(new StreamClient({ status, headers }, stream, () => session.destroy()))
      })
    })
  }

  /** Resolves when `text` has come; rejects when the answer ends before. */
  async until(text: string): Promise<void> {
    while (!this.#received.includes(text)) {
      if (this.#isOver) throw new Error(`ended before ${text}: ${JSON.stringify(this.#received)}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}
