import type { Channels } from '../channel/channels.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import type { Place } from '../history/place.ts'

/** What a run's server is told. */
export interface StopNotice {
  readonly name: string
  /** Of the run that is meant, and not of another one of its name. */
  readonly begin: Place
  readonly reason: string | undefined
}

/** Tells servers, through the history, which runs are to be stopped. They are kept for a while, so that none is missed. */
export class StopNotices {
  readonly #channel: LiveChannel
  readonly #channels: Channels
  readonly #onStop: (notice: StopNotice) => void
  #isListening = false

  constructor(channel: LiveChannel, channels: Channels, onStop: (notice: StopNotice) => void) {
    this.#channel = channel
    this.#channels = channels
    this.#onStop = onStop
    channel.configure({ maxBytes: 1_048_576, maxMessages: 10_000, maxAgeMs: 60_000 })
  }

  async tell(notice: StopNotice): Promise<void> {
    const frame = this.#channels.frameOf(this.#channel, { data: notice })
    await this.#channels.append(this.#channel, [frame], { isEnd: false })
  }

  /** What is told from the call on is heard. */
  listen(): void {
    if (this.#isListening) return
    this.#isListening = true
    void this.#hear()
  }

  async #hear(): Promise<void> {
    for await (const item of this.#channel.read({ from: 'now' })) {
      if (item.type === 'message') this.#onStop(item.json() as StopNotice)
    }
  }
}
