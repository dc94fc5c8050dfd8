import { type ChannelHost, LiveChannel } from './channel.ts'
import type { ResolvedChannelOptions } from './channel-options.ts'
import { invalid } from '../base/check.ts'
import type { History, HistoryListener } from '../history/history.ts'
import { encodeName } from './last-event-id.ts'
import type { ChannelOptions } from '../types.ts'

const MAX_NAME_BYTES = 256

/** The channels of one hub by name. One that has no subscriptions and was not declared lasts only while it is held. */
export class Channels {
  readonly #host: ChannelHost & HistoryListener
  /** Histories that were opened. */
  readonly #stores = new Set<History>()
  readonly #defaults: ResolvedChannelOptions
  /** Those that have subscriptions. */
  readonly #live = new Set<LiveChannel>()
  readonly #declared = new Set<LiveChannel>()
  readonly #known = new Map<string, WeakRef<LiveChannel>>()
  readonly #collected = new FinalizationRegistry<string>((name) => {
    if (this.#known.get(name)?.deref() === undefined) this.#known.delete(name)
  })
  #isReady = false

  constructor(host: ChannelHost & HistoryListener, defaults: ResolvedChannelOptions) {
    this.#host = host
    this.#defaults = defaults
    this.#openHistory(defaults.history)
  }

  /** How many have subscriptions. */
  get size(): number {
    return this.#live.size
  }

  /** Whether the history of any cannot be reached or does not answer. */
  get degraded(): boolean {
    return [...this.#stores].some(({ degraded }) => degraded)
  }

  get subscriptions(): number {
    let sum = 0
    for (const { size } of this.#live) sum += size
    return sum
  }

  /** From now on, options that are given do not keep a channel. */
  ready(): void {
    this.#isReady = true
  }

  get(name: string, options: ChannelOptions | undefined): LiveChannel {
    const channel = this.#known.get(name)?.deref() ?? this.#create(name)
    if (options !== undefined) this.#configure(channel, options)
    return channel
  }

  keep(channel: LiveChannel): void {
    this.#live.add(channel)
  }

  release(channel: LiveChannel): void {
    this.#live.delete(channel)
  }

  async close(): Promise<void> {
    const histories = new Set([this.#defaults.history, ...this.#stores])
    for (const known of this.#known.values()) {
      const history = known.deref()?.options.history
      if (history !== undefined) histories.add(history)
    }
    await Promise.all([...histories].map((history) => history.close()))
  }

  #create(name: string): LiveChannel {
    checkName(name)
    const channel = new LiveChannel(this.#host, name, this.#defaults)
    this.#known.set(name, new WeakRef(channel))
    this.#collected.register(channel, name)
    return channel
  }

  #configure(channel: LiveChannel, options: ChannelOptions): void {
    channel.configure(options)
    this.#openHistory(channel.options.history)
    if (!this.#isReady) this.#declared.add(channel)
  }

  #openHistory(history: History): void {
    if (history.open === undefined || this.#stores.has(history)) return
    this.#stores.add(history)
    history.open(this.#host)
  }
}

function checkName(name: unknown): void {
  if (
    typeof name !== 'string' ||
    name === '' ||
    !name.isWellFormed() ||
    encodeName(name).length > MAX_NAME_BYTES
  ) {
    throw invalid(
      'the channel name',
      `a well-formed string of 1 to ${MAX_NAME_BYTES} bytes when percent-encoded`,
      name
    )
  }
}
