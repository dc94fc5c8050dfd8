/** Something that has a time at which it wants to be told. */
export interface Expiring {
  /** By the monotonic clock, in milliseconds; `undefined`: never. */
  readonly expiresAt: number | undefined
  /** Where it waits. Kept by `Expiry`. */
  bucket: number | undefined
  /** Its time has come, or had come when it was added. */
  expire(now: number): void
}

/** How exact it is: things that are due within so much are told together. */
const BUCKET_MS = 100

/** Tells many things when their time has come, by one timer that never keeps the process alive. */
export class Expiry<Thing extends Expiring> {
  /** By the number of their time. */
  readonly #buckets = new Map<number, Set<Thing>>()
  #timer: NodeJS.Timeout | undefined
  #timerBucket = Infinity

  /** The thing is told once, at the time that it has now, or had when it was added before if that is earlier. */
  add(thing: Thing): void {
    const { expiresAt } = thing
    if (expiresAt === undefined) return
    const bucket = Math.ceil(Math.max(expiresAt / BUCKET_MS, performance.now() / BUCKET_MS + 1))
    if ((thing.bucket ?? Infinity) <= bucket) return
    this.remove(thing)
    thing.bucket = bucket
    const things = this.#buckets.get(bucket)
    if (things === undefined) this.#buckets.set(bucket, new Set([thing]))
    else things.add(thing)
    if (bucket < this.#timerBucket) this.#start(bucket)
  }

  /** It waits no longer. */
  remove(thing: Thing): void {
    const { bucket } = thing
    if (bucket === undefined) return
    thing.bucket = undefined
    const things = this.#buckets.get(bucket)
    if (things?.delete(thing) && things.size === 0) this.#buckets.delete(bucket)
  }

  clear(): void {
    this.#buckets.clear()
    clearTimeout(this.#timer)
    this.#timerBucket = Infinity
  }

  #start(bucket: number): void {
    clearTimeout(this.#timer)
    this.#timerBucket = bucket
    const delayMs = Math.max(1, bucket * BUCKET_MS - performance.now())
    this.#timer = setTimeout(() => this.#fire(), Math.min(delayMs, MAX_DELAY_MS)).unref()
  }

  #fire(): void {
    const now = performance.now()
    this.#timerBucket = Infinity
    let next = Infinity
    for (const [bucket, things] of this.#buckets) {
      if (bucket * BUCKET_MS > now) {
        next = Math.min(next, bucket)
        continue
      }
      this.#buckets.delete(bucket)
      for (const thing of things) {
        thing.bucket = undefined
        thing.expire(now)
      }
    }
    if (next < this.#timerBucket) this.#start(next)
  }
}

/** The longest delay of a Node timer. */
const MAX_DELAY_MS = 2_147_483_647
