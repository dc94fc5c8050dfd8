import { Redis } from 'ioredis'
import type { Moment } from '../checker/run-log.ts'
import { now } from '../checker/sockets/clock.ts'

/** A message as Redis told it when it executed it. */
export interface Sighting {
  readonly epoch: string
  readonly place: number
  readonly channels: readonly string[]
  readonly data: string
  readonly key: string
  /** `'end'`: the channel ends with it; `'clear'`: all that was there before is forgotten. */
  readonly kind: string | undefined
  readonly at: Moment
  /** Which of the primaries, one after another, executed it. One that restarts is another one. */
  readonly reign: number
}

/** Redis has forgotten something. */
export interface Loss {
  readonly what: 'messages' | 'ids'
  readonly since: Moment
  /** Later than `since` if there were two primaries for a while. */
  lostAt: Moment
  /** From then on nobody is told any more what was lost. */
  until: Moment
  readonly hasLost: (one: Pick<Sighting, 'epoch' | 'place'>) => boolean
  readonly reign: number
}

/** For how long ids may be told yet that were given before something was forgotten. */
const ECHO_MS = 5_000
export const WITNESS = 'witness'
const CURSOR = /^([0-9a-z]{10})-(\w+)/

/** What all primaries executed, and what was lost of it: they are asked past everything that is between nodes and them. */
export class Ledger {
  readonly losses: Loss[] = []
  readonly #sightings = new Map<string, Sighting>()
  readonly #witnesses: Redis[] = []
  readonly #base: string
  /** When each primary began. */
  readonly #reigns: Moment[] = []

  constructor(prefix: string) {
    this.#base = `${prefix}{0}:`
  }

  /** In the order in which they were executed, primary by primary. One that has forgotten everything begins anew. */
  get sightings(): readonly Sighting[] {
    const all = [...this.#sightings.values()]
    const epochs = [...new Set(all.sort((a, b) => a.at - b.at).map(({ epoch }) => epoch))]
    const order = new Map(epochs.map((epoch, index) => [epoch, index]))
    const epochOf = ({ epoch }: Sighting): number => order.get(epoch) ?? 0
    return all.sort((a, b) => a.reign - b.reign || epochOf(a) - epochOf(b) || a.place - b.place)
  }

  /** A primary begins, to which nobody may write yet. */
  async begin(port: number): Promise<void> {
    const reign = this.#reigns.push(now()) - 1
    const witness = new Redis(port, '127.0.0.1', {
      retryStrategy: () => null,
      lazyConnect: true,
      connectionName: WITNESS
    })
    this.#witnesses.push(witness)
    witness.on('error', () => {})
    witness.on('pmessage', (_pattern: string, name: string, body: string) => this.#take(reign, name, body))
    await witness.connect()
    await witness.psubscribe(`${this.#base}*`)
  }

  /**
   * Somebody else has seen what the witness perhaps has not: Redis was killed before it could tell. By the time that its answer
   * came, another primary may have reigned, whose witness would have seen it.
   */
  note(id: string, channels: readonly string[], data: string, sentAt: Moment, at: Moment): void {
    const cursor = this.parse(id)
    if (cursor === undefined || this.#sightings.has(keyOf({ ...cursor, data }))) return
    const reign = this.#reigns.findLastIndex((since) => since <= sentAt)
    this.#note({ ...cursor, channels, data, key: '', kind: undefined, at, reign })
  }

  parse(id: string): { place: number; epoch: string } | undefined {
    const [, digits, epoch] = CURSOR.exec(id) ?? []
    return digits === undefined || epoch === undefined
      ? undefined
      : { place: Number.parseInt(digits, 36), epoch }
  }

  lose(what: Loss['what'], hasLost: Loss['hasLost'], since: Moment): Loss {
    const loss = {
      what,
      since,
      lostAt: since,
      until: now() + ECHO_MS,
      hasLost,
      reign: this.#reigns.length - 1
    }
    this.losses.push(loss)
    return loss
  }

  lossOf(sighting: Sighting): Loss | undefined {
    return this.losses.find(
      ({ what, reign, hasLost }) => what === 'messages' && sighting.reign <= reign && hasLost(sighting)
    )
  }

  /** Whether nobody may know an id by then that was told before. */
  mayBeUnknown(id: string, toldAt: Moment, by: Moment): boolean {
    const cursor = this.parse(id)
    return (
      cursor === undefined ||
      this.losses.some(({ since, until, hasLost }) => since <= by && toldAt <= until && hasLost(cursor))
    )
  }

  close(): void {
    for (const witness of this.#witnesses) witness.disconnect()
  }

  #take(reign: number, name: string, body: string): void {
    const [, epoch = '', channel = ''] = /^(\w+)\.[\w.]*:(.*)$/s.exec(name.slice(this.#base.length)) ?? []
    const match = /^(\d+) [\d -]+\n(.*)\n/.exec(body)
    if (match === null) return
    const [head, place, header = ''] = match
    const [key, channels = [channel], kind] = JSON.parse(header) as [string, string[]?, string?]
    this.#note({
      epoch,
      place: Number(place),
      channels,
      data: dataOf(body.slice(head.length)),
      key,
      kind,
      at: now(),
      reign
    })
  }

  #note(sighting: Sighting): void {
    const key = keyOf(sighting)
    const known = this.#sightings.get(key)
    // A primary that has become a replica repeats what the next one does.
    if (known !== undefined && known.reign >= sighting.reign) return
    this.#sightings.set(
      key,
      known === undefined ? sighting : { ...sighting, at: Math.min(sighting.at, known.at) }
    )
  }
}

function keyOf({ epoch, place, data }: Pick<Sighting, 'epoch' | 'place' | 'data'>): string {
  return `${epoch} ${place} ${data}`
}

/** The data of a message as it is kept. */
function dataOf(text: string): string {
  const lines = text.split('\n').filter((line) => line.startsWith('data: '))
  return lines.map((line) => line.slice('data: '.length)).join('\n')
}
