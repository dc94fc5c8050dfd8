import type { Moment, Published, Retention } from '../checker/run-log.ts'

/** What a stream keeps that is trimmed to a length: at least so many of the newest messages. */
export class TrimRetention implements Retention {
  readonly keepsUnoffered = false
  readonly #channels: ReadonlyMap<
    string,
    { readonly messages: readonly Published[]; readonly fewest: number }
  >

  /** @param channels with the fewest messages from one on that may have been dropped. */
  constructor(
    channels: ReadonlyMap<string, { readonly messages: readonly Published[]; readonly fewest: number }>
  ) {
    this.#channels = channels
  }

  mayHaveDropped(channel: string, message: Published, by: Moment): boolean {
    const { messages = [], fewest = Infinity } = this.#channels.get(channel) ?? {}
    const since = messages.slice(messages.indexOf(message)).filter(({ sentAt }) => sentAt <= by)
    return since.length >= fewest
  }
}
