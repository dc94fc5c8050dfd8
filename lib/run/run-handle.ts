import { ObservedPromise } from '../base/promises.ts'
import type { ReadItem, ReadOptions, SubscribeOptions, Subscription } from '../channel/channel.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import type { AnyConnection } from '../connection/sse-connection.ts'
import type { Place } from '../history/place.ts'
import type { Run, RunEndState, RunInfo } from './run.ts'

/** What a handle needs of all runs. */
export interface RunHandleHost {
  /** @param begin after which the first message of the run is. */
  stop(name: string, begin: Place, reason: string | undefined): Promise<void>
  info(name: string, channel: LiveChannel): Promise<RunInfo | undefined>
  ended(name: string, channel: LiveChannel, begin: Place): Promise<RunEndState>
}

/** The run of a name, wherever its source is. */
export class RunHandle implements Run {
  readonly name: string
  readonly #host: RunHandleHost
  readonly #channel: LiveChannel
  /** That of the run that was found: to stop it, or to ask how it has ended, means no other of its name. */
  readonly #begin: Place
  #ended: Promise<RunEndState> | undefined

  /** @param ended of a run whose source is here: known for as long as the handle lasts. */
  constructor(host: RunHandleHost, name: string, channel: LiveChannel, ended?: Promise<RunEndState>) {
    this.#host = host
    this.name = name
    this.#channel = channel
    this.#begin = channel.first
    this.#ended = ended
  }

  get ended(): Promise<RunEndState> {
    this.#ended ??= ObservedPromise.of(this.#host.ended(this.name, this.#channel, this.#begin), () => {})
    return this.#ended
  }

  subscribe(connection: AnyConnection, options: Omit<SubscribeOptions, 'from'> = {}): Subscription {
    return this.#channel.subscribe(connection, { ...options, from: 'first' })
  }

  read(options: Omit<ReadOptions, 'from'> = {}): AsyncIterableIterator<ReadItem> {
    return this.#channel.read({ ...options, from: 'first' })
  }

  stop(reason?: string): Promise<void> {
    return ObservedPromise.of(this.#host.stop(this.name, this.#begin, reason), () => {})
  }

  info(): Promise<RunInfo | undefined> {
    return this.#host.info(this.name, this.#channel)
  }
}
