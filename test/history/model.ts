import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Test } from 'tap'
import { arrive } from '../../lib/history/arrivals.ts'
import type { Cursor, History, ReadLimits } from '../../lib/history/history.ts'
import { cursors, frame, PatientLog, readAll, texts } from '../helpers/history.ts'
import type { CreateStore, Store, StoreLimits } from './store.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const RUNS = 100

/** Compares a store with arrays: what it gives, and what it keeps. */
export function testAgainstModel(t: Test, name: string, create: CreateStore): void {
  t.test(
    `${name} › is an array for each channel, whatever is done in what order (FC_SEED=${seed})`,
    async (t) => {
      t.comment(`FC_SEED=${seed}`)
      const steps = fc.array(step, { maxLength: 50, size: 'max' })
      const property = fc.asyncProperty(
        steps,
        fc.constantFrom(1, 4, 12, 1_000),
        async (steps, maxMessages) => {
          const store = await create({ maxMessages })
          try {
            const model = await Model.open(store, { maxMessages })
            for (const step of steps) await model.run(step)
          } finally {
            await store.dispose()
          }
        }
      )
      await fc.assert(property, { seed, numRuns: RUNS })
      t.pass()
    }
  )
}

type Step =
  | {
      readonly do: 'append'
      readonly channel: number
      readonly keys: readonly string[]
      readonly size: number
    }
  | { readonly do: 'follow'; readonly channel: number }
  | { readonly do: 'close' | 'release'; readonly who: number; readonly place: number }
  | {
      readonly do: 'read'
      readonly channel: number
      readonly place: number
      readonly maxBytes: number
      readonly idBytes: number
      readonly before: number
      readonly isLatestOnly: boolean
    }

const CHANNELS = ['a', 'a:b', '__proto__']
const place = fc.nat(1_000)
const channel = fc.nat(CHANNELS.length - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      channel,
      keys: fc.array(fc.constantFrom('', 'x', 'y', '__proto__'), { minLength: 1, maxLength: 5 }),
      size: fc.integer({ min: 1, max: 40 })
    })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('follow' as const), channel }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('release' as const), who: fc.nat(9), place }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('close' as const), who: fc.nat(9), place }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      channel,
      place,
      maxBytes: fc.oneof(fc.integer({ min: 1, max: 120 }), fc.constant(Infinity)),
      idBytes: fc.constantFrom(0, 7),
      before: fc.oneof(place, fc.constant(Infinity)),
      isLatestOnly: fc.boolean()
    })
  }
)

interface ModelFrame {
  readonly text: string
  readonly key: string
  readonly cursor: Cursor
  /** What `before` lets this frame through, and no earlier one of these does. */
  readonly mark: number
}

/** What a history is: one array for each channel. What is no longer kept is found by what must still be. */
class Model {
  readonly #history: History
  readonly #slack: number
  readonly #maxMessages: number
  readonly #frames: ModelFrame[][] = CHANNELS.map(() => [])
  readonly #starts: Cursor[] = []
  readonly #logs: PatientLog[] = []
  readonly #marks: number[] = [arrive()]
  #followers: { readonly log: PatientLog; readonly channel: number; released: number }[] = []

  private constructor({ history, slack = 1 }: Store, maxMessages: number) {
    this.#history = history
    this.#slack = slack
    this.#maxMessages = maxMessages
  }

  static async open(store: Store, { maxMessages }: StoreLimits): Promise<Model> {
    const model = new Model(store, maxMessages)
    for (const name of CHANNELS) {
      const log = await PatientLog.follow(store.history, name)
      model.#logs.push(log)
      model.#starts.push(log.head)
    }
    return model
  }

  async run(step: Step): Promise<void> {
    if (step.do === 'read') return await this.#read(step)
    if (step.do === 'append') await this.#append(step)
    else if (step.do === 'follow') await this.#follow(step.channel)
    else await this.#leave(step)
    await this.#check()
  }

  /** All that is kept, and that it is not too much. */
  async #check(): Promise<void> {
    for (const [channel, log] of this.#logs.entries()) {
      const frames = this.#framesOf(channel)
      const kept = await readAll(log, log.oldest)
      const expected = frames.slice(frames.length - kept.length)
      assert.deepEqual(texts(kept), texts(expected))
      assert.deepEqual(cursors(kept), cursors(expected))
      const least = Math.min(frames.length, this.#maxMessages)
      const most = Math.max(this.#maxMessages * this.#slack, frames.length - this.#releasedOf(channel))
      assert.ok(kept.length >= least && kept.length <= most, `${kept.length} of ${frames.length} are kept`)
      assert.equal(log.head, frames.at(-1)?.cursor ?? this.#starts[channel])
    }
  }

  async #append({ channel, keys, size }: Step & { do: 'append' }): Promise<void> {
    const frames = this.#framesOf(channel)
    const mark = arrive()
    const added = keys.map((key, i) => ({ text: `${frames.length + i}:${'é'.repeat(size)}`, key }))
    const given = await Promise.all(
      added.map(({ text, key }) => this.#history.append(CHANNELS[channel] ?? '', frame(text), key))
    )
    for (const [i, cursor] of given.entries()) {
      frames.push({ text: added[i]?.text ?? '', key: added[i]?.key ?? '', cursor, mark })
    }
    this.#marks.push(arrive())
    const log = this.#logs[channel]
    await log?.release(log.head)
  }

  async #follow(channel: number): Promise<void> {
    const log = await PatientLog.follow(this.#history, CHANNELS[channel] ?? '')
    this.#followers.push({ log, channel, released: this.#framesOf(channel).length })
  }

  async #leave({ do: what, who, place }: Step & { do: 'close' | 'release' }): Promise<void> {
    const follower = this.#followers[who % this.#followers.length]
    if (follower === undefined) return
    if (what === 'close') {
      this.#followers = this.#followers.filter((other) => other !== follower)
      follower.log.close()
      return
    }
    const { log, channel, released } = follower
    follower.released = released + (place % (this.#framesOf(channel).length - released + 1))
    log.release(this.#cursorOf(channel, follower.released))
  }

  async #read({
    channel,
    place,
    maxBytes,
    idBytes,
    before,
    isLatestOnly
  }: Step & { do: 'read' }): Promise<void> {
    const frames = this.#framesOf(channel)
    const after = place % (frames.length + 1)
    const mark = before === Infinity ? Infinity : (this.#marks[before % this.#marks.length] ?? 0)
    const limits = { maxBytes, idBytes, before: mark, isLatestOnly }
    const page = await this.#logs[channel]?.read(this.#cursorOf(channel, after), limits)
    const isKept = frames.length - after <= this.#maxMessages || after >= this.#releasedOf(channel)
    if (page?.complete === false) {
      assert.equal(page.reason, 'expired')
      assert.ok(!isKept, `a gap after ${after} of ${frames.length}`)
    } else {
      const expected = this.#pageOf(channel, after, limits)
      assert.deepEqual(texts(page?.frames ?? []), expected.texts)
      assert.equal(page?.cursor, expected.cursor)
    }
  }

  #pageOf(channel: number, after: number, { maxBytes, idBytes, before, isLatestOnly }: ReadLimits) {
    const frames = this.#framesOf(channel)
    const chosen: string[] = []
    let end = after
    for (const [i, { text, key, mark }] of frames.entries()) {
      if (i < after) continue
      if (mark >= before || Buffer.byteLength(chosen.join('')) + chosen.length * idBytes >= maxBytes) break
      end = i + 1
      const isLatest = !frames.slice(i + 1).some((newer) => newer.key === key)
      if (isLatest || !isLatestOnly) chosen.push(text)
    }
    return { texts: chosen, cursor: this.#cursorOf(channel, end) }
  }

  /** How many frames no follower holds. */
  #releasedOf(channel: number): number {
    const released = this.#followers.filter((follower) => follower.channel === channel)
    return Math.min(this.#framesOf(channel).length, ...released.map((follower) => follower.released))
  }

  #framesOf(channel: number): ModelFrame[] {
    return this.#frames[channel] ?? []
  }

  #cursorOf(channel: number, count: number): Cursor {
    return this.#framesOf(channel)[count - 1]?.cursor ?? this.#starts[channel] ?? ''
  }
}
