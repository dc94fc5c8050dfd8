import { NOT_YET, tells } from '../not-yet.ts'
import { CHANNEL_NAMES, type ClientSetup } from './setup.ts'
import type { Resume } from './steps.ts'
import type { Stream } from './stream.ts'

const GARBAGE = ['<b>', '-', 'a=b=c', 'x-1', '%'] as const

/** A client: its connections, and what it comes back with. */
export class Client {
  readonly setup: ClientSetup
  readonly streams: Stream[] = []
  /** The id that it was told last. */
  lastEventId: string | undefined
  /** Those of its subscriptions, by number, of which that id tells. */
  #known: readonly number[] = []

  constructor(setup: ClientSetup) {
    this.setup = setup
  }

  /** Its connection, if it has one. */
  get stream(): Stream | undefined {
    const stream = this.streams.at(-1)
    return stream?.isHeld ? stream : undefined
  }

  /** To which of its subscriptions it comes back. */
  chosenFor(id: string | undefined): readonly number[] {
    const isBack = id !== undefined && id === this.lastEventId && this.#known.length > 0
    return isBack ? this.#known : [...this.setup.subscriptions.keys()]
  }

  /** Takes down what it was told in this turn. */
  remember(): void {
    const stream = this.streams.at(-1)
    if (stream === undefined) return
    const { lastEventId } = stream.receiver
    if (stream.isHeld || lastEventId !== this.lastEventId) this.#known = this.#knownTo(stream)
    this.lastEventId = lastEventId
  }

  /** @param turn chooses what is made up. */
  idFor(resume: Resume, other: Client | undefined, turn: number): string | undefined {
    const own = this.#known.length === 0 ? undefined : this.lastEventId
    if (resume === 'own') return own
    if (resume === 'none') return undefined
    if (resume === 'garbage') return GARBAGE[turn % GARBAGE.length]
    const whole = this.#isWhole ? this.lastEventId : undefined
    if (resume === 'future') return changed(whole, /-\d+/g, '-123456789')
    if (resume === 'foreign') return changed(whole, /\w{8}-/g, 'zzzzzzzz-')
    return this.#mayTake(other) ? other?.lastEventId : undefined
  }

  /** Whether its id tells of all that it subscribes to. */
  get #isWhole(): boolean {
    return !NOT_YET.has('other channels') || this.#known.length === this.setup.subscriptions.length
  }

  get #names(): string {
    const numbers = this.setup.subscriptions.map(({ channel }) => channel)
    return numbers.sort().join()
  }

  #mayTake(other: Client | undefined): boolean {
    if (other === undefined || !NOT_YET.has('other channels')) return true
    return other.#isWhole && other.#names === this.#names
  }

  /** Version 0.1's ids do not tell of channels that were left, nor of those whose place is not known yet. */
  #knownTo({ memberships, receiver }: Stream): readonly number[] {
    const active = memberships.filter(({ live }) => live.active).map(({ channel }) => channel)
    const known = [...this.setup.subscriptions.entries()].filter(([, { channel }]) => {
      const name = CHANNEL_NAMES[channel] ?? ''
      const isTold = active.includes(name) && tells(receiver.lastEventId, name, memberships.length)
      return !NOT_YET.has('other channels') || isTold
    })
    return known.map(([number]) => number)
  }
}

/** An id that nobody was ever told. */
function changed(id: string | undefined, part: RegExp, by: string): string {
  const made = id?.replace(part, by)
  return made === undefined || made === id ? `${by}1` : made
}
