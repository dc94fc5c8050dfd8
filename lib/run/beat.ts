import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { type Channels, runNameOf } from '../channel/channels.ts'
import type { History } from '../history/history.ts'
import type { StoreLeases, TakenLease } from '../history/store.ts'
import type { LiveRun } from './live-run.ts'
import { runChannel } from './run.ts'
import { formatEnd } from './run-end.ts'

/** How often leases are renewed at the least, and those of others are looked at. */
const MAX_BEAT_MS = 1_000
const TOKEN_BYTES = 9

/** Keeps the leases of a server's runs, finds those that nobody wants, and ends the runs of servers that are gone. */
export class Beat {
  readonly #channels: Channels
  readonly #history: History
  readonly #log: FastifyBaseLogger
  readonly #own: ReadonlyMap<string, LiveRun>
  readonly #leaseMs: number
  #timer: NodeJS.Timeout | undefined
  #isBeating = false
  #hasFailed = false

  /** @param own the runs whose source is here. */
  constructor(channels: Channels, own: ReadonlyMap<string, LiveRun>, leaseMs: number) {
    this.#channels = channels
    this.#history = channels.shared.history
    this.#log = channels.shared.log
    this.#own = own
    this.#leaseMs = leaseMs
  }

  start(): void {
    const ms = Math.min(MAX_BEAT_MS, Math.ceil(this.#leaseMs / 3))
    this.#timer ??= setInterval(() => void this.#beat(), ms).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #beat(): Promise<void> {
    if (this.#isBeating) return
    this.#isBeating = true
    const own = [...this.#own.values()]
    try {
      await this.#keep(own)
      const { leases } = this.#history
      if (leases !== undefined) await this.#endAllLost(leases, own)
      this.#hasFailed = false
    } catch (err) {
      if (!this.#hasFailed && !this.#history.closing.aborted)
        this.#log.warn({ err }, 'leases of runs could not be renewed')
      this.#hasFailed = true
    } finally {
      this.#isBeating = false
    }
  }

  /** Renews the leases of runs, which are lost without, and tells them whether somebody follows them. */
  async #keep(runs: readonly LiveRun[]): Promise<void> {
    const followers = await this.#renew(runs)
    for (const [i, run] of runs.entries()) {
      const count = followers[i]
      if (count === undefined) run.lose()
      // Somebody may have come since it was asked.
      else run.noteWanted(count > 0 || run.channel.isUsed)
    }
  }

  /** @returns of each how many servers follow it; `undefined`: it is not this one's any more. */
  async #renew(runs: readonly LiveRun[]): Promise<readonly (number | undefined)[]> {
    const { leases } = this.#history
    if (leases === undefined) return runs.map(({ channel }) => Number(channel.isUsed))
    const held = runs.map(({ channel, token }) => ({ channel: channel.name, token }))
    return held.length === 0 ? [] : await leases.renew(held, this.#leaseMs)
  }

  async #endAllLost(leases: StoreLeases, own: readonly LiveRun[]): Promise<void> {
    const token = newToken()
    const isOwn = ({ channel, place }: TakenLease): boolean =>
      own.some((run) => run.channel.name === channel && run.begin === place)
    let over: readonly TakenLease[]
    do {
      over = await leases.takeOver(token, this.#leaseMs)
      await Promise.all(over.map((lease) => this.#endLost(lease, token, isOwn(lease))))
    } while (over.length > 0)
  }

  /**
   * If it cannot, its lease is over again, and somebody else does.
   *
   * @param isOwn whether the run was here, and tells by itself that it is lost.
   */
  async #endLost({ channel, place, note }: TakenLease, token: string, isOwn: boolean): Promise<void> {
    const run = runNameOf(channel)
    const key = formatEnd({ state: 'lost', begin: place, reason: undefined })
    const frame = { text: note, byteLength: Buffer.byteLength(note), key }
    const { isEnded } = await this.#channels.append(this.#channels.ofRun(run), [frame], {
      isEnd: true,
      token
    })
    if (isEnded || isOwn) return
    const state = 'lost'
    if (runChannel.hasSubscribers) runChannel.publish({ run, state, reason: undefined, error: undefined })
    this.#log.warn({ eventStream: { run, state } }, 'run lost')
  }
}

/** That of a lease: nobody else has it. */
export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('hex')
}
