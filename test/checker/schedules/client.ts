import type { ClientSetup } from './setup.ts'
import type { Resume } from './steps.ts'
import type { Admission, Stream } from './stream.ts'

const GARBAGE = ['<b>', '-', 'a=b=c', 'x-1', '%'] as const

/** A client: its connections, and what it comes back with. */
export class Client {
  readonly setup: ClientSetup
  readonly streams: Stream[] = []
  admission: Admission | undefined

  constructor(setup: ClientSetup) {
    this.setup = setup
  }

  /** Its connection, if it has one. */
  get stream(): Stream | undefined {
    const stream = this.streams.at(-1)
    return stream?.isHeld ? stream : undefined
  }

  /** The id that it was told last. */
  get lastEventId(): string | undefined {
    return this.streams.at(-1)?.receiver.lastEventId
  }

  /** @param turn chooses what is made up. */
  idFor(resume: Resume, other: Client | undefined, turn: number): string | undefined {
    const { lastEventId } = this
    if (resume === 'own') return lastEventId
    if (resume === 'none') return undefined
    if (resume === 'garbage') return GARBAGE[turn % GARBAGE.length]
    if (resume === 'future') return changed(lastEventId, /^\w{10}/, 'zzzzzzzzzz')
    if (resume === 'foreign') return changed(lastEventId, /-\w+/, '-01234567')
    return other?.lastEventId
  }
}

/** An id that nobody was ever told. */
function changed(id: string | undefined, part: RegExp, by: string): string {
  const made = id?.replace(part, by)
  return made === undefined || made === id ? `${by}1` : made
}
