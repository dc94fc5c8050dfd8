import { connect, type Socket } from 'node:net'

/** A client that is nothing but a socket: what it sends and what it got, byte by byte. */
export class RawClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  received = ''
  error: Error | undefined
  #waiters: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      this.received += chunk
      this.#wake()
    })
    socket.on('error', (error) => {
      this.error = error
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        resolve()
        this.#wake()
      })
    })
  }

  /** Connects and sends. */
  static connect(target: number | string, request = ''): RawClient {
    const socket = typeof target === 'number' ? connect(target, '127.0.0.1') : connect(target)
    if (request !== '') socket.write(request)
    return new RawClient(socket)
  }

  /** Asks for `path` as curl would, and leaves the connection open. */
  static get(target: number | string, path: string, headers: Record<string, string> = {}): RawClient {
    return RawClient.connect(target, request('GET', path, headers))
  }

  /** Resolves when what was received matches; rejects when the connection ends before. */
  async until(pattern: RegExp | string): Promise<void> {
    const matches = (): boolean =>
      typeof pattern === 'string' ? this.received.includes(pattern) : pattern.test(this.received)
    while (!matches()) {
      if (this.socket.closed)
        throw new Error(`closed before ${pattern}; received ${JSON.stringify(this.received)}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  get head(): string {
    return this.received.slice(0, this.received.indexOf('\r\n\r\n'))
  }

  /** The body, its chunks joined (RFC 9112, section 7.1). Ends at the last chunk, or where the bytes end. */
  get body(): string {
    let rest = this.received.slice(this.received.indexOf('\r\n\r\n') + 4)
    let body = ''
    for (;;) {
      const size = /^([0-9a-f]+)\r\n/.exec(rest)
      if (size === null || size[1] === '0') return body
      const start = size[0].length
      const length = Number.parseInt(String(size[1]), 16)
      body += rest.slice(start, start + length)
      rest = rest.slice(start + length + 2)
    }
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}

/** The text of an HTTP/1.1 request. */
export function request(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = ''
): string {
  const lines = Object.entries({ Host: 'localhost', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`
  )
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
