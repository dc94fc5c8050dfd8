import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The way between a client and a server, which can be cut, go silent, or be closed. */
export class Line {
  /** Where connections are forwarded to. */
  upstream = 0
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()

  private constructor() {
    this.#server = createServer((client) => this.#forward(client))
  }

  static async open(): Promise<Line> {
    const line = new Line()
    await line.reopen(0)
    return line
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Cuts all connections. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy()
      server.destroy()
    }
  }

  /** From now on, nothing comes through those that there are, and no side hears of it. */
  hush(): void {
    for (const [client, server] of this.#pairs) {
      client.unpipe()
      server.unpipe()
    }
  }

  /** Cuts all, and refuses new ones. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  async reopen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
  }

  #forward(client: Socket): void {
    // It came while the line was closing, which would wait for it.
    if (!this.#server.listening) {
      client.destroy()
      return
    }
    const server = connect(this.upstream, '127.0.0.1')
    const pair = [client, server] as const
    this.#pairs.add(pair)
    client.pipe(server).pipe(client)
    for (const [socket, other] of [pair, [server, client] as const]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        other.destroy()
      })
    }
  }
}
