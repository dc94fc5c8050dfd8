import type { Transport } from '../../../lib/connection/transport/transport.ts'
import type { Published } from '../run-log.ts'
import { channelOptions } from '../schedules/channel-options.ts'
import type { Library, LibraryListener, TriedServer } from '../schedules/library.ts'
import { CHANNEL_NAMES, type Setup } from '../schedules/setup.ts'
import { type ConnectionHost, ModelConnection } from './connection.ts'
import { type Kept, Order } from './order.ts'
import { formatId, type Place } from './place-id.ts'
import { RULES, type Rules } from './rules.ts'

/** The design without sockets: one order of all that is published, and one cursor for a connection. */
export function modelLibrary(rules: Partial<Rules> = {}): Library {
  const all = { ...RULES, ...rules }
  // Schedules have three channels.
  const isVague = all.maxNames < CHANNEL_NAMES.length
  return { isVague, isPlain: true, start: (setup, listener) => new ModelServer(setup, all, listener) }
}

class ModelServer implements TriedServer, ConnectionHost {
  readonly order: Order
  readonly rules: Rules
  readonly maxBufferedBytes: number
  readonly #connections = new Set<ModelConnection>()
  readonly #listener: LibraryListener
  #isScheduled = false

  constructor({ limits, channels, maxBufferedBytes }: Setup, rules: Rules, listener: LibraryListener) {
    this.rules = rules
    this.maxBufferedBytes = maxBufferedBytes
    this.#listener = listener
    const options = channels.map(
      (setup, number) => [CHANNEL_NAMES[number] ?? '', channelOptions(setup)] as const
    )
    this.order = new Order(limits, options, (...args) => rules.keepsUnoffered && this.#isWaitedFor(...args))
  }

  connect(lastEventId: string | undefined, transport: Transport): ModelConnection {
    const connection = new ModelConnection(this, lastEventId, transport)
    this.#connections.add(connection)
    return connection
  }

  async publish(
    channels: readonly string[],
    message: Pick<Published, 'event' | 'data' | 'key'>
  ): Promise<string> {
    const { place } = this.order.append(channels, message)
    this.schedule()
    return formatId(this.order.epoch, { cursor: place, behind: new Map() })
  }

  keptOf(channel: string): number {
    return this.order.channel(channel).entries.length
  }

  stats(): { readonly subscriptions: number; readonly channels: number } {
    const subscriptions = [...this.#connections].flatMap((connection) => connection.subscriptions)
    return {
      subscriptions: subscriptions.length,
      channels: new Set(subscriptions.map(({ channel }) => channel)).size
    }
  }

  close(): void {
    this.order.close()
  }

  /** One flush at the end of the turn. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#flush())
  }

  connectionOnGap(connection: ModelConnection, channel: string | undefined, reason: string): void {
    this.#listener.libraryOnGap(connection, channel, reason)
  }

  connectionOnClose(connection: ModelConnection): void {
    this.#connections.delete(connection)
    this.schedule()
  }

  #isWaitedFor(channel: Kept, place: Place): boolean {
    return [...this.#connections].some((connection) => connection.keepsUp(channel, place))
  }

  #flush(): void {
    this.#isScheduled = false
    this.order.offered = this.order.head
    for (const connection of [...this.#connections]) connection.flush()
    this.order.trim()
  }
}
