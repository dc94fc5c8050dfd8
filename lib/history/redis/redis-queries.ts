import { randomBytes, randomInt } from 'node:crypto'
import type { Place } from '../place.ts'
import { RedisReplyError } from './redis-link.ts'
import { DAY_MS, type Found, parseNumbers, parseProbe, parseRead, type ReadAnswer } from './redis-message.ts'
import { type Links, MAX_NAMES, type RedisPair } from './redis-pair.ts'
import { HEADS, PROBE, PROVE, PUBLISH, READ, type RedisScript } from './redis-scripts.ts'

const EPOCH_BYTES = 5
/** How old the newest place is at most. */
const MAX_AGE_MS = 60_000

/**
 * What is asked of Redis, by scripts. Without connections that are named, those are asked that the pair has.
 *
 * @throws RedisReplyError for what Redis refuses; another Error if there is no connection, or it broke.
 */
export class RedisQueries {
  readonly #pair: RedisPair
  readonly #base: string

  constructor(pair: RedisPair, base: string) {
    this.#pair = pair
    this.#base = base
  }

  get links(): Links {
    const { links } = this.#pair
    if (links === undefined) throw new Error('There is no connection to Redis')
    return links
  }

  async run(script: RedisScript, args: readonly string[], links: Links = this.links): Promise<unknown> {
    try {
      return await this.#pair.run(links, script, this.#base, args)
    } catch (error) {
      this.#meet(error)
      throw error
    }
  }

  /** As `publish.lua` says. Does not load the script. */
  async publish(site: string, args: readonly string[]): Promise<unknown> {
    try {
      const command = ['EVALSHA', PUBLISH.sha, '1', this.#base, site, randomPart(), ...args]
      return await this.links.commands.call(command)
    } catch (error) {
      this.#meet(error)
      throw error
    }
  }

  async loadPublish(): Promise<unknown> {
    return this.links.commands.call(['SCRIPT', 'LOAD', PUBLISH.source])
  }

  async read(channel: string, after: Place, links?: Links): Promise<ReadAnswer> {
    return parseRead(channel, after, await this.run(READ, [channel, String(after)], links))
  }

  /** Whether each place is one of this history. */
  async proofs(places: readonly Place[], links?: Links): Promise<boolean[]> {
    const answer = await this.run(PROVE, places.map(String), links)
    return parseNumbers(answer, places.length).map((known) => known === 1)
  }

  /** The newest place of each channel, or `0`. */
  async heads(channels: readonly string[], links?: Links): Promise<readonly Place[]> {
    const heads: Place[] = []
    for (let i = 0; i < channels.length; i += MAX_NAMES) {
      const some = channels.slice(i, i + MAX_NAMES)
      heads.push(...parseNumbers(await this.run(HEADS, some, links), some.length))
    }
    return heads
  }

  /**
   * Where the history stands. What comes later shall be after what comes back, and after `given`.
   *
   * @param site where it is thought to be, so that the place is told; `''`: it is not known.
   */
  async look(site: string, given: Place, links?: Links, maxAgeMs: number = MAX_AGE_MS): Promise<Found> {
    const proposed = randomBytes(EPOCH_BYTES).toString('hex')
    const args = [proposed, String(given), randomPart(), site, String(DAY_MS), String(maxAgeMs)]
    return parseProbe(await this.run(PROBE, args, links))
  }

  /** A database that has become another one, or a replica, is met anew. */
  #meet(error: unknown): void {
    if (error instanceof RedisReplyError && ['SITE', 'READONLY'].includes(error.code)) this.#pair.reset(error)
  }
}

/** What the scripts take for the last digits of places. */
export function randomPart(): string {
  return String(randomInt(65_536))
}
