/** What is used of a client of `ioredis`. */
export interface IORedisClient {
  readonly isCluster: boolean
  readonly options: { readonly sentinels?: readonly unknown[] | null | undefined }
  /** Not there before there is a connection. */
  readonly stream: { destroy(): unknown } | undefined
  duplicate(overrides: object): IORedisClient
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'message', listener: (name: string, body: string) => void): unknown
  connect(): Promise<unknown>
  call(command: string, args: string[]): Promise<unknown>
  disconnect(): void
}

/** Against options of the client's own. Those on what follows a reconnection do no harm: there is none. */
const OVERRIDES = {
  lazyConnect: true,
  retryStrategy: null,
  reconnectOnError: null,
  enableOfflineQueue: false,
  enableAutoPipelining: false,
  monitor: false,
  keyPrefix: '',
  stringNumbers: false,
  replyMapping: 'legacy',
  showFriendlyErrorStack: false,
  commandTimeout: undefined,
  blockingTimeout: undefined,
  socketTimeout: undefined,
  himportFieldsets: undefined,
  /** Of timers that keep the process alive, also after `disconnect()`. */
  disconnectTimeout: 0,
  maxLoadingRetryTime: 100
}

/** Clusters have methods of the same names; so do pipelines, which cannot be duplicated. */
export function isIORedisClient(value: object): value is IORedisClient {
  return 'isCluster' in value && value.isCluster === false && 'duplicate' in value
}

/** A client that is not connected. Rejects with `ERR_MODULE_NOT_FOUND` when `ioredis` is not installed. */
export async function createIORedis(url: string): Promise<IORedisClient> {
  const { Redis } = await import('ioredis')
  return new Redis(url, { lazyConnect: true })
}

/** A connection of ioredis. */
export class IORedisDriver {
  readonly #redis: IORedisClient

  /** @param onBreak may be called more than once, and after `destroy()`. */
  constructor(
    client: IORedisClient,
    onMessage: (name: string, body: string) => void,
    onBreak: (error: Error) => void,
    timeoutMs: number
  ) {
    this.#redis = client.duplicate({ ...OVERRIDES, ...sentinelOverrides(client, timeoutMs) })
    this.#redis.on('error', onBreak)
    this.#redis.on('end', () => onBreak(new Error('Redis has closed the connection')))
    this.#redis.on('message', onMessage)
  }

  connect(): Promise<unknown> {
    return this.#redis.connect()
  }

  /** ioredis reshapes the answers to some commands, if their names are not in capitals. */
  send([name = '', ...args]: readonly string[]): Promise<unknown> {
    return this.#redis.call(name.toUpperCase(), args)
  }

  subscribe(names: readonly string[]): Promise<unknown> {
    return this.#redis.call('subscribe', [...names])
  }

  unsubscribe(names: readonly string[]): Promise<unknown> {
    return this.#redis.call('unsubscribe', [...names])
  }

  isReplyError(error: unknown): error is Error {
    return error instanceof Error && error.name === 'ReplyError'
  }

  /** `disconnect()` alone ends the connection gently, and so takes what Redis still says. */
  destroy(): void {
    this.#redis.disconnect()
    this.#redis.stream?.destroy()
  }
}

/** Sentinels are asked one by one, once: each may take as long as lets all others and the master have their turn. */
function sentinelOverrides({ options }: IORedisClient, timeoutMs: number): object {
  const count = options.sentinels?.length ?? 0
  if (count === 0) return {}
  const shareMs = Math.floor(timeoutMs / (count + 1))
  return { sentinelRetryStrategy: null, sentinelCommandTimeout: shareMs, connectTimeout: shareMs }
}
