/** What is used of a client of `redis` (node-redis). */
export interface NodeRedisClient {
  readonly options?: { readonly socket?: object | undefined } | undefined
  duplicate(overrides: object): NodeRedisClient
  on(event: 'error', listener: (error: Error) => void): unknown
  connect(): Promise<unknown>
  sendCommand(args: readonly string[]): Promise<unknown>
  subscribe(names: string[], listener: MessageListener): Promise<unknown>
  unsubscribe(names: string[], listener: MessageListener): Promise<unknown>
  destroy(): void
}

type MessageListener = (body: string, name: string) => void

/** Maps and doubles, which only RESP 3 has, are read as the arrays and strings that they are in RESP 2. */
const RESP_2_SHAPES = { 37: Array, 44: String }

/** Against options of the client's own. Those on what follows a reconnection do no harm: there is none. */
const OVERRIDES = {
  /** The library's timeout for what waits to be written is a signal for each call, and takes 10 µs of the CPU's 13. */
  commandOptions: { timeout: 0, typeMapping: RESP_2_SHAPES },
  commandsQueueMaxLength: undefined,
  pingInterval: undefined,
  clientSideCache: undefined,
  emitInvalidate: false,
  /** With these, the library changes to another connection when Redis says so. */
  maintNotifications: 'disabled'
}

/** The library's errors can be told by their names only: to get the classes, one would have to import it. */
const REPLY_ERRORS: readonly string[] = ['SimpleError', 'BlobError']

/** Clusters, pools and sentinels of the library have methods of the same names, but do not show their options. */
export function isNodeRedisClient(value: object): value is NodeRedisClient {
  return 'options' in value && 'duplicate' in value && 'destroy' in value && !('isCluster' in value)
}

/** A client that is not connected. Rejects with `ERR_MODULE_NOT_FOUND` when `redis` is not installed. */
export async function createNodeRedis(url: string): Promise<NodeRedisClient> {
  const { createClient } = await import('redis')
  return createClient({ url })
}

/** A connection of node-redis. */
export class NodeRedisDriver {
  readonly #client: NodeRedisClient
  readonly #onMessage: MessageListener
  /** Until it is connected, `client.destroy()` leaves the socket open, which then does connect. */
  readonly #abort = new AbortController()

  /** @param onBreak may be called more than once, and after `destroy()`. */
  constructor(
    client: NodeRedisClient,
    onMessage: (name: string, body: string) => void,
    onBreak: (error: Error) => void
  ) {
    const socket = {
      ...client.options?.socket,
      reconnectStrategy: false,
      socketTimeout: undefined,
      signal: this.#abort.signal
    }
    this.#client = client.duplicate({ ...OVERRIDES, socket })
    this.#client.on('error', onBreak)
    this.#onMessage = (body, name) => onMessage(name, body)
  }

  connect(): Promise<unknown> {
    return this.#client.connect()
  }

  send(args: readonly string[]): Promise<unknown> {
    return this.#client.sendCommand(args)
  }

  subscribe(names: readonly string[]): Promise<unknown> {
    return this.#client.subscribe([...names], this.#onMessage)
  }

  /** Without the listener, the library would take a name for subscribed that is being unsubscribed. */
  unsubscribe(names: readonly string[]): Promise<unknown> {
    return this.#client.unsubscribe([...names], this.#onMessage)
  }

  isReplyError(error: unknown): error is Error {
    return error instanceof Error && REPLY_ERRORS.includes(error.constructor.name)
  }

  destroy(): void {
    this.#abort.abort()
    try {
      this.#client.destroy()
    } catch {
      // Version 5 throws when the connection has broken by itself.
    }
  }
}
