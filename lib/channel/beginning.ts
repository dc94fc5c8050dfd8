import type { Connection } from '../connection/connection.ts'
import type { Position } from './position.ts'

/** How long what is missed waits for a handler to subscribe to everything. */
const HOLD_MS = 250
/** How long after that the id still counts that a client brought. */
const UNSETTLED_MS = 10_000

/** While a handler may still subscribe to something that belongs before what is there to be given, that waits. */
export class Beginning {
  readonly #connection: Connection
  readonly #position: Position
  /** Whether nothing is given yet. */
  #isHeld = false
  #holdIsOver = false
  #timer: NodeJS.Timeout | undefined

  constructor(connection: Connection, position: Position) {
    this.#connection = connection
    this.#position = position
  }

  get isHeld(): boolean {
    return this.#isHeld
  }

  /** There may be something to be given. */
  hold(): void {
    this.#isHeld ||= !this.#position.hasBegun && !this.#holdIsOver
  }

  mustWait(): boolean {
    if (!this.#isHeld) return false
    if (this.#connection.isSettled || this.#connection.state === 'closing') {
      this.#isHeld = false
      return false
    }
    this.#timer ??= setTimeout(() => this.#endHold(), HOLD_MS).unref()
    return true
  }

  /** What the client brought was looked at for all subscriptions that there were. @param isFirst whether nothing was given yet. */
  limit(isFirst: boolean): void {
    if (this.#connection.isSettled) this.#useUp()
    else if (isFirst) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#useUp(), UNSETTLED_MS).unref()
    }
  }

  /** The handler is done, or the connection is closed. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #endHold(): void {
    this.#isHeld = false
    this.#holdIsOver = true
    this.#connection.output.feedOnChange()
  }

  #useUp(): void {
    this.#position.resumption = undefined
    clearTimeout(this.#timer)
  }
}
