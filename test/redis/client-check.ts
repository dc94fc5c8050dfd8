import { cursorFor, readId } from '../checker/received-id.ts'
import { EVENTS } from '../checker/run-log.ts'
import type { ChannelTruth } from './channel-truth.ts'
import { excerpt } from './excerpt.ts'
import { compare, isPlace } from './places.ts'
import type { Attempt, Block, ClientLog } from './run-log.ts'
import type { Violation } from './violation.ts'

/** By a message's data: how it was published, and the ids under which anybody saw it. */
export type Seen = ReadonlyMap<string, { readonly attempt: Attempt; readonly ids: Set<string> }>

type Violate = (kind: Violation['kind'], text: string, at?: number) => void

/** All that one client was sent, block by block. */
export function checkClient(
  client: ClientLog,
  truths: ReadonlyMap<string, ChannelTruth>,
  seen: Seen
): readonly Violation[] {
  const violations: Violation[] = []
  const violate: Violate = (kind, text, at = Infinity) =>
    violations.push({ kind, text: `${client.name}: ${text}`, at })
  const readers = new Map(
    client.channels.map((name) => {
      const truth = truths.get(name)
      if (truth === undefined) throw new Error(`no log of the channel ${name}`)
      return [name, new Reader(truth, violate)]
    })
  )
  if (client.refusal !== undefined) violate('syntax', client.refusal)
  for (const block of client.blocks) checkBlock(block, readers, seen, violate)
  for (const reader of readers.values()) reader.finish(client.hasCaughtUp)
  return violations
}

function checkBlock(block: Block, readers: ReadonlyMap<string, Reader>, seen: Seen, violate: Violate): void {
  const { event, data, id } = block
  if (event === EVENTS.gap) {
    const { channel, reason } = JSON.parse(data)
    readers.get(channel)?.takeGap(reason, cursorFor(channel, id) ?? '', block)
  } else if (event === 'message') {
    const channel = seen.get(data)?.attempt.channel ?? ''
    const reader = readers.get(channel)
    if (reader === undefined) violate('phantom', `nobody published ${describe(block)}`, block.at)
    else reader.takeMessage(cursorFor(channel, id) ?? '', block)
  } else if (event !== undefined && event !== EVENTS.cursor && event !== EVENTS.farewell) {
    violate('phantom', `nobody sent ${describe(block)}`, block.at)
  }
  for (const [channel, reader] of readers) {
    const cursor = claimOf(channel, id, readers.size)
    if (cursor !== undefined) reader.takeClaim(cursor, block)
  }
}

/** Where an id says that the client stands in a channel. A cursor by itself could be that of any of several channels. */
function claimOf(channel: string, id: string, channels: number): string | undefined {
  const read = readId(id)
  if (id === '' || ('bare' in read && channels > 1)) return undefined
  return 'bare' in read ? read.bare : read.byChannel.get(channel)
}

function describe({ id, event, data }: Block): string {
  return `${event} ${id} ${excerpt(data)}`
}

/** One client's place in one channel. */
class Reader {
  readonly #truth: ChannelTruth
  readonly #violate: Violate
  /** `undefined` until it is told. */
  #place: string | undefined
  /** Of the block that is looked at. */
  #at = Infinity
  /** Since the last gap: what came before it comes again. */
  readonly #received = new Set<string>()

  constructor(truth: ChannelTruth, violate: Violate) {
    this.#truth = truth
    this.#violate = (kind, text) => violate(kind, `${truth.log.name}: ${text}`, this.#at)
  }

  takeMessage(id: string, block: Block): void {
    if (!this.#isPlace(id, block)) return
    if (this.#received.has(id)) this.#violate('duplicate', `${id} came again`)
    else if (this.#place !== undefined && compare(id, this.#place) <= 0) {
      this.#violate('order', `${id} came after ${this.#place}`)
    } else {
      this.#received.add(id)
      this.#moveTo(id)
    }
  }

  takeClaim(place: string, block: Block): void {
    if (place === this.#place || !this.#isPlace(place, block)) return
    if (this.#place !== undefined && compare(place, this.#place) < 0) {
      this.#violate('backwards', `the id went from ${this.#place} back to ${place}`)
    } else {
      this.#moveTo(place)
    }
  }

  takeGap(reason: string, destination: string, block: Block): void {
    if (!this.#isPlace(destination, block)) return
    if (this.#place === undefined)
      this.#violate('false-gap', `${reason} was told to a client without a place`)
    else this.#checkGap(this.#place, reason, destination)
    this.#received.clear()
    this.#place = destination
  }

  finish(hasCaughtUp: boolean): void {
    this.#at = Infinity
    if (this.#place === undefined) this.#violate('hang', 'it was never told a place')
    else if (!hasCaughtUp) this.#violate('hang', `the last message did not come, it is at ${this.#place}`)
    else this.#moveTo(undefined)
  }

  #isPlace(place: string, block: Block): boolean {
    this.#at = block.at
    if (isPlace(place)) return true
    this.#violate('phantom', `no place: ${describe(block)}`)
    return false
  }

  /** All between the two places has come, or was not there any more. @param to `undefined`: the end of the run. */
  #moveTo(to: string | undefined): void {
    const at = this.#at
    const from = this.#place
    this.#place = to ?? from
    if (from === undefined) return
    const truth = this.#truth
    const latest = Math.min(truth.lastEpochOf(from), truth.epochAt(at))
    const epoch = to === undefined ? latest : Math.min(truth.lastEpochOf(to), latest)
    const first = to === undefined ? truth.epochAt(at) : truth.bornIn(to)
    if (epoch < first) {
      this.#violate(
        'loss',
        `the place ${from} was lost, but it went on with ${to ?? 'nothing'} without a gap`
      )
      return
    }
    for (const id of truth.between(from, to ?? `${Number.MAX_SAFE_INTEGER}-0`)) {
      if (this.#received.has(id) || !truth.isIn(id, epoch)) continue
      this.#violate('loss', `${id} did not come between ${from} and ${to ?? 'the end'}, and no gap was told`)
      return
    }
  }

  #checkGap(place: string, reason: string, destination: string): void {
    const truth = this.#truth
    const now = truth.epochAt(this.#at)
    const isTrimmed = truth.mayBeTrimmed(place, this.#at)
    if (truth.lastEpochOf(place) === now && !isTrimmed) {
      this.#violate('false-gap', `${reason}, but ${place} was kept`)
      return
    }
    const isReasonOfTrim = reason === 'expired' || reason === 'slow'
    if (isReasonOfTrim && !isTrimmed) this.#violate('wrong-gap', `${reason}, but ${place} was lost`)
    for (let epoch = Math.max(truth.bornIn(place), truth.bornIn(destination)); epoch <= now; epoch++) {
      const isMissing = isTrimmed || !truth.isIn(place, epoch)
      if (isMissing && truth.isIn(destination, epoch) && this.#isOldest(destination, epoch)) return
    }
    this.#violate(
      'wrong-gap',
      `${reason} at ${place} leads to ${destination}, which was never the oldest place`
    )
  }

  #isOldest(place: string, epoch: number): boolean {
    for (const id of this.#truth.upTo(place)) {
      if (this.#truth.isIn(id, epoch)) return this.#truth.mayBeTrimmed(id, this.#at)
    }
    return true
  }
}
