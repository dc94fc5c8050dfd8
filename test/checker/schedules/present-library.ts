import { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type GapEvent, gapChannel } from '../../../lib/channel/diagnostics.ts'
import { cursorIn } from '../../../lib/channel/last-event-id.ts'
import { Connection } from '../../../lib/connection/connection.ts'
import type { Transport } from '../../../lib/connection/transport/transport.ts'
import { Hub } from '../../../lib/fastify/hub.ts'
import {
  type ResolvedStartOptions,
  resolveOptions,
  resolveStartOptions
} from '../../../lib/fastify/resolved-options.ts'
import type { Store } from '../../../lib/history/store.ts'
import { NewShelf } from '../../helpers/shelf-store.ts'
import type { Published } from '../run-log.ts'
import { channelOptions } from './channel-options.ts'
import { LateStore } from './late-store.ts'
import type {
  Library,
  LibraryListener,
  MoreOfServer,
  TriedConnection,
  TriedServer,
  TriedSubscribeOptions,
  TriedSubscription
} from './library.ts'
import { CHANNEL_NAMES, type Setup } from './setup.ts'

/** What is in `lib/`. */
export const presentLibrary: Library = { start: (setup, listener) => new PresentServer(setup, listener) }

/** The same with a store that is some turns away. @param random tells how many. */
export function storedLibrary(random: () => number): Library {
  const shelf = new NewShelf()
  return {
    isExact: false,
    start: (setup, listener) => new PresentServer(setup, listener, new LateStore(random, shelf))
  }
}

const silent = { error() {}, warn() {}, info() {} }

class PresentServer implements TriedServer {
  readonly #hub: Hub
  readonly #options: ResolvedStartOptions
  readonly #listener: LibraryListener
  readonly #onGap = (event: unknown): void => this.#tellGap(event as GapEvent)

  constructor(
    { channels, maxBufferedBytes, limits, patterns }: Setup,
    listener: LibraryListener,
    store?: Store
  ) {
    const instance = {
      server: new EventEmitter(),
      initialConfig: {},
      log: silent,
      addHook() {}
    } as unknown as FastifyInstance
    const { maxTotalBytes, ...own } = limits
    const options = resolveOptions({
      history: { maxTotalBytes, ...(store && { store }) },
      channels: { ...patterns, '*': own },
      maxBufferedBytes,
      heartbeatMs: 1_000,
      stallMs: false
    })
    this.#options = resolveStartOptions(options)
    this.#hub = new Hub(instance, options)
    for (const [number, channel] of channels.entries()) {
      this.#hub.channel(CHANNEL_NAMES[number] ?? '', channelOptions(channel))
    }
    this.#listener = listener
    gapChannel.subscribe(this.#onGap)
    void this.#hub.shared.history.open()
  }

  prepare(lastEventId: string): Promise<void> | undefined {
    return this.#hub.shared.history.prove(cursorIn(lastEventId))
  }

  connect(lastEventId: string | undefined, transport: Transport): TriedConnection {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
    const request = { headers, query: {}, raw: { rawHeaders: [] }, log: silent } as unknown as FastifyRequest
    return new PresentConnection(request, this.#options, transport, this.#hub)
  }

  publish(
    channels: readonly string[],
    { event, data, key, isKept = true }: Pick<Published, 'event' | 'data' | 'key' | 'isKept'>
  ): Promise<string> {
    const message = event === 'message' ? { data } : { event, data }
    return this.#hub.publish(channels, message, { key, keep: isKept })
  }

  readonly more: MoreOfServer = {
    clear: (channel) => void this.#hub.channel(channel).clear(),
    cursor: () => this.#hub.shared.history.cursorAt(this.#hub.shared.history.stamp()),
    read: (channel, from) => this.#hub.channel(channel).read({ from })
  }

  keptOf(channel: string): number {
    return this.#hub.shared.history.lengthOf(channel)
  }

  stats(): { readonly subscriptions: number; readonly channels: number } {
    return this.#hub.stats()
  }

  close(): void {
    gapChannel.unsubscribe(this.#onGap)
    void this.#hub.close()
  }

  #tellGap({ connection, channel, reason }: GapEvent): void {
    this.#listener.libraryOnGap(connection as unknown as TriedConnection, channel, reason)
  }
}

class PresentConnection extends Connection implements TriedConnection {
  readonly #hub: Hub

  constructor(request: FastifyRequest, options: ResolvedStartOptions, transport: Transport, hub: Hub) {
    super(request, options, transport, hub, Math.floor(performance.now()))
    this.#hub = hub
  }

  subscribe(channel: string, options: TriedSubscribeOptions): TriedSubscription {
    const subscription = this.#hub.channel(channel).subscribe(this, options)
    const { history } = this.#hub.shared
    return {
      get active() {
        return subscription.active
      },
      unsubscribe() {
        subscription.unsubscribe()
        return history.cursorAt(history.head)
      }
    }
  }

  settle(): void {
    this.handlerOnSettle()
  }
}
