import type { Connection } from './connection.ts'

/** One flush at the end of each turn of the event loop, for all connections that sent something in it. */
export class Flush {
  #pending: Connection[] = []

  schedule(connection: Connection): void {
    if (this.#pending.push(connection) === 1) setImmediate(() => this.#run())
  }

  #run(): void {
    const connections = this.#pending
    this.#pending = []
    for (const connection of connections) connection.flush()
  }
}
