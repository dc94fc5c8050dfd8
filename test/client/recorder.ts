/** What runs where the client does, in a page or in Node: it opens streams, and records what they give. */
import {
  type EventStream,
  openEventStream,
  type StreamError,
  type TextEvents
} from '../../lib/client/client.ts'
import { openSharedEventStream } from '../../lib/client/shared.ts'

/** All that a stream has told so far. */
export interface Recording {
  /** `data` of each event, and what gaps say. */
  readonly data: unknown[]
  readonly events: { readonly event: string; readonly data: unknown; readonly id: string }[]
  readonly states: string[]
  readonly causes: string[]
  reason?: string
  failure?: { readonly reason: string; readonly status: number | undefined; readonly cause: string }
  /** How often a failure was told. */
  failures: number
  farewell?: string | undefined
}

type Options = Record<string, unknown>
interface Reading {
  readonly listensTo?: string[]
  /** Data after which its loop is left. */
  readonly leavesAt?: string
  /** Whether its loop waits for `goOn()`. */
  readonly isSlow?: boolean
}
type Open = (url: string, options: Options) => EventStream<TextEvents>

const openers: Record<string, Open> = {
  openEventStream: openEventStream as Open,
  openSharedEventStream: openSharedEventStream as Open
}

class Recorder {
  readonly recording: Recording = { data: [], events: [], states: ['connecting'], causes: [], failures: 0 }
  readonly stream: EventStream<TextEvents>
  #waiters: (() => void)[] = []
  #isAllowed: Promise<void> | undefined

  goOn: () => void = () => {}

  /** Reads by a loop or, for these events, by listeners. */
  constructor(open: Open, url: string, { listensTo, leavesAt, isSlow, ...options }: Options & Reading) {
    const { recording } = this
    if (isSlow === true) {
      this.#isAllowed = new Promise((resolve) => {
        this.goOn = resolve
      })
    }
    this.stream = open(url, {
      onState: (state: string, cause: unknown) => {
        recording.states.push(state)
        if (cause !== undefined) recording.causes.push(textOf(cause))
        this.#wake()
      },
      ...options
    })
    for (const event of listensTo ?? []) this.stream.on(event, (given) => this.#note(given))
    if (listensTo === undefined) this.#loop(leavesAt)
    this.stream.closed.then((reason) => {
      const { error, farewell } = this.stream
      recording.reason = reason
      recording.farewell = farewell
      if (error !== undefined) recording.failure = failureOf(error)
      this.#wake()
    })
  }

  async until(test: (recording: Recording) => unknown): Promise<Recording> {
    while (!test(this.recording)) await new Promise<void>((resolve) => this.#waiters.push(resolve))
    return this.recording
  }

  async #loop(last: unknown): Promise<void> {
    try {
      for await (const given of this.stream) {
        this.#note(given)
        if (given.data === last) break
        await this.#isAllowed
      }
    } catch {
      this.recording.failures++
      this.#wake()
    }
  }

  #note(given: { event: string; data: unknown; id: string }): void {
    this.recording.events.push(given)
    this.recording.data.push(given.data)
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}

function failureOf({ reason, response, cause }: StreamError): NonNullable<Recording['failure']> {
  return { reason, status: response?.status, cause: textOf(cause) }
}

function textOf(cause: unknown): string {
  return cause instanceof Response ? String(cause.status) : String(cause)
}

const recorders: Recorder[] = []

/** What engines call by name. */
const tab = {
  open(opener: string, url: string, options: Options): number {
    const open = openers[opener]
    if (open === undefined) throw new Error(`${opener} cannot be opened`)
    return recorders.push(new Recorder(open, url, options)) - 1
  },
  at(index: number): Recorder {
    const recorder = recorders[index]
    if (recorder === undefined) throw new Error(`there is no stream ${index}`)
    return recorder
  },
  last: (): Recorder => tab.at(recorders.length - 1)
}
Object.assign(globalThis, { tab })
