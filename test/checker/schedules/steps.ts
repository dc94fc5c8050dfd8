import fc from 'fast-check'
import type { FilterName } from '../filters.ts'
import type { LoggedFrom } from '../run-log.ts'
import { PACE_MS } from './event-loop.ts'
import { CHANNEL_NAMES, from, plainFrom } from './setup.ts'

/** What an id is that a client comes back with. */
export type Resume = 'own' | 'none' | 'garbage' | 'future' | 'foreign' | "another's"

/** One step of a schedule. Clients and channels are numbers; a step that is not possible does nothing. */
export type Step =
  | {
      readonly do: 'publish'
      readonly channel: number
      readonly key: number
      readonly sizes: readonly number[]
      /**
       * Another channel that the messages concern too. Heeded where limits are wide and neither is `'latest'`: whether a
       * channel gave what it has since dropped or replaced cannot be known.
       */
      readonly also?: number | undefined
      /** @defaultValue true */
      readonly keep?: boolean
    }
  | { readonly do: 'clear'; readonly channel: number }
  /** From now on the client may read what comes, where it subscribes with `notBefore`. */
  | { readonly do: 'admit'; readonly client: number }
  /** `channel.read()` begins: after what the reader was given last, if `from` is `'own'`. */
  | {
      readonly do: 'read channel'
      readonly reader: number
      readonly channel: number
      readonly from: LoggedFrom | 'own'
    }
  /** The reader asks for so many items more, one after the other, unless it is given up. `null`: for all. */
  | { readonly do: 'ask'; readonly reader: number; readonly items: number | null }
  | { readonly do: 'give up'; readonly reader: number }
  | {
      readonly do: 'connect'
      readonly client: number
      readonly resume: Resume
      /** Whether the head waits until `open`. */
      readonly isLate: boolean
      /** Whether its handler awaits something before each subscription but the first. @defaultValue false */
      readonly awaits?: boolean
      /** To which of its subscriptions it comes back. @defaultValue all */
      readonly only?: readonly number[]
    }
  /** What a handler awaits is there. */
  | { readonly do: 'go on'; readonly client: number }
  /** A channel is joined that the client was not subscribed to. */
  | {
      readonly do: 'join'
      readonly client: number
      readonly channel: number
      readonly from: LoggedFrom
      readonly filter: FilterName
      /** Whether what the client brought may count. @defaultValue false */
      readonly resume?: boolean
    }
  | { readonly do: 'open'; readonly client: number }
  | { readonly do: 'stop reading'; readonly client: number }
  | { readonly do: 'read on'; readonly client: number }
  | { readonly do: 'read'; readonly client: number; readonly bytes: number }
  | { readonly do: 'cut'; readonly client: number; readonly after: number; readonly unnoticedTurns: number }
  | { readonly do: 'send'; readonly client: number; readonly size: number }
  | { readonly do: 'unsubscribe'; readonly client: number; readonly index: number }
  | {
      readonly do: 'subscribe again'
      readonly client: number
      readonly index: number
      /** `'end'`: where it was when it was unsubscribed. */
      readonly from: 'end' | 'now' | 'oldest'
    }
  | { readonly do: 'close'; readonly client: number }
  | { readonly do: 'destroy'; readonly client: number }
  | { readonly do: 'end turn' }
  | { readonly do: 'settle' }
  | { readonly do: 'pace'; readonly ms: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'restart' }

const clientNumber = fc.nat({ max: 3 })
const channelNumber = fc.nat({ max: CHANNEL_NAMES.length - 1 })
const size = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: 120 }), weight: 90 },
  { arbitrary: fc.integer({ min: 1_000, max: 30_000 }), weight: 4 },
  { arbitrary: fc.integer({ min: 60_000, max: 140_000 }), weight: 1 }
)
const resume = fc.oneof(
  { arbitrary: fc.constant<Resume>('own'), weight: 8 },
  { arbitrary: fc.constantFrom<Resume[]>('none', 'garbage', 'future', 'foreign', "another's"), weight: 3 }
)

function step<Name extends Step['do']>(
  weight: number,
  name: Name,
  fields: {
    [Field in keyof Omit<Extract<Step, { do: Name }>, 'do'>]?: fc.Arbitrary<
      Extract<Step, { do: Name }>[Field]
    >
  }
): fc.WeightedArbitrary<Step> {
  const arbitrary = fc.record({ do: fc.constant(name), ...fields }) as unknown as fc.Arbitrary<Step>
  return { arbitrary, weight }
}

const publication = {
  channel: channelNumber,
  key: fc.nat({ max: 2 }),
  sizes: fc.array(size, { minLength: 1, maxLength: 9 }),
  also: fc.option(channelNumber, { nil: undefined, freq: 4 })
}

const commonSteps: readonly fc.WeightedArbitrary<Step>[] = [
  step(9, 'connect', {
    client: clientNumber,
    resume,
    isLate: fc.oneof(...[false, false, false, true].map((late) => fc.constant(late))),
    awaits: fc.boolean(),
    only: fc.subarray([0, 1, 2], { minLength: 1 })
  }),
  step(6, 'go on', { client: clientNumber }),
  step(2, 'open', { client: clientNumber }),
  step(4, 'stop reading', { client: clientNumber }),
  step(3, 'read on', { client: clientNumber }),
  step(5, 'read', {
    client: clientNumber,
    bytes: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 100_000 }))
  }),
  step(6, 'cut', { client: clientNumber, after: fc.nat({ max: 999 }), unnoticedTurns: fc.nat({ max: 3 }) }),
  step(4, 'send', { client: clientNumber, size }),
  step(2, 'unsubscribe', { client: clientNumber, index: fc.nat({ max: 2 }) }),
  step(2, 'subscribe again', {
    client: clientNumber,
    index: fc.nat({ max: 2 }),
    from: fc.constantFrom('end', 'now', 'oldest')
  }),
  step(1, 'close', { client: clientNumber }),
  step(1, 'destroy', { client: clientNumber }),
  step(9, 'end turn', {}),
  step(4, 'settle', {}),
  step(2, 'pace', { ms: fc.constantFrom(PACE_MS, 1, 5) }),
  step(3, 'wait', { ms: fc.integer({ min: 1, max: 1_500 }) }),
  step(1, 'restart', {})
]

const joining = {
  client: clientNumber,
  channel: channelNumber,
  filter: fc.constantFrom<FilterName[]>('all', 'all', 'even'),
  resume: fc.boolean()
}
const readerNumber = fc.nat({ max: 1 })

const plainSteps: readonly fc.WeightedArbitrary<Step>[] = [
  step(14, 'publish', publication),
  step(3, 'join', { ...joining, from: plainFrom })
]
const allSteps: readonly fc.WeightedArbitrary<Step>[] = [
  step(14, 'publish', { ...publication, keep: fc.constantFrom(true, true, true, false) }),
  step(3, 'join', { ...joining, from }),
  step(1, 'clear', { channel: channelNumber }),
  step(1, 'admit', { client: clientNumber }),
  step(2, 'read channel', {
    reader: readerNumber,
    channel: channelNumber,
    from: fc.oneof(from, fc.constant<'own'>('own'))
  }),
  step(3, 'ask', { reader: readerNumber, items: fc.option(fc.nat({ max: 5 }), { freq: 2 }) }),
  step(1, 'give up', { reader: readerNumber })
]

const connectAll = [0, 1, 2, 3].map(
  (client): Step => ({ do: 'connect', client, resume: 'none', isLate: false })
)

/** What the library does. */
export const schedules = schedulesOf(allSteps)
/** What the model does, too. */
export const plainSchedules = schedulesOf(plainSteps)

/** Most begin with everybody there. */
function schedulesOf(steps: readonly fc.WeightedArbitrary<Step>[]): fc.Arbitrary<Step[]> {
  const anyStep = fc.oneof(...steps, ...commonSteps)
  return fc
    .tuple(
      fc.constantFrom([], connectAll, connectAll),
      fc.array(anyStep, { minLength: 1, maxLength: 80, size: 'max' })
    )
    .map((parts) => parts.flat())
}
