import { invalid } from '../base/check.ts'
import { errorOf, FST_ERR_EVENTSTREAM_INVALID_MESSAGE } from '../base/errors.ts'

/** The events by which clients of a registration are told gaps and cursors: nothing else may have their names. */
export class ReservedEvents {
  readonly #gaps = new Set<string>()
  readonly #cursors = new Set<string>()
  /** Of heartbeats and farewells: messages may have them, too. */
  readonly #others = new Set<string>()

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells something else. */
  addGap(event: string): void {
    if (this.#cursors.has(event) || this.#others.has(event)) {
      throw invalid(
        'gapEvent',
        'another event than cursorEvent, heartbeatEvent and that of the farewell',
        event
      )
    }
    this.#gaps.add(event)
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells gaps. */
  addCursor(event: string | false): void {
    if (event === false) return
    if (this.#gaps.has(event)) throw invalid('cursorEvent', 'another event than gapEvent', event)
    this.#cursors.add(event)
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells gaps or cursors. */
  addOther(option: string, event: string): void {
    if (this.has(event)) throw invalid(option, 'another event than gapEvent and cursorEvent', event)
    this.#others.add(event)
  }

  has(event: string | undefined): boolean {
    return event !== undefined && (this.#gaps.has(event) || this.#cursors.has(event))
  }

  /**
   * @param but the one that a message may have.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE for a message that clients could not tell from what the plugin says.
   */
  assertFree(message: unknown, but?: string): void {
    const event: string | undefined =
      typeof message === 'object' && message !== null ? Reflect.get(message, 'event') : undefined
    if (event === but || !this.has(event)) return
    const rule = 'none of the events by which gaps and cursors are told'
    throw errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, ['message.event', rule, event])
  }
}
