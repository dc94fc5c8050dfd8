import { expectTypeOf } from 'expect-type'
import t from 'tap'
import { z } from 'zod'
import {
  type AnyEvent,
  type EndReason,
  type EventStream,
  type Gap,
  openEventStream,
  type StreamEvent,
  type StreamState
} from '../../lib/client/client.ts'
import type { EventsOf } from '../../lib/index.ts'

const events = { quote: z.object({ price: z.number() }), note: z.string() }
type Events = EventsOf<typeof events>

/** Never called: the compiler is the test. */
export async function typed(): Promise<void> {
  const stream = openEventStream<Events>('/quotes', { parse: { quote: JSON.parse } })
  expectTypeOf(stream).toEqualTypeOf<EventStream<Events>>()
  stream.on('quote', ({ data }) => expectTypeOf(data).toEqualTypeOf<{ price: number }>())
  stream.on('note', ({ data }) => expectTypeOf(data).toEqualTypeOf<string>())
  stream.on('gap', ({ data }) => expectTypeOf(data).toEqualTypeOf<Gap>())
  // @ts-expect-error an event that the server does not have
  stream.on('price', () => {})
  for await (const event of stream) {
    if (event.event === 'quote') expectTypeOf(event.data.price).toEqualTypeOf<number>()
    if (event.event === 'gap') expectTypeOf(event).toEqualTypeOf<StreamEvent<'gap', Gap>>()
    // @ts-expect-error an event that the server does not have
    if (event.event === 'price') break
  }
  expectTypeOf(stream.state).toEqualTypeOf<StreamState>()
  expectTypeOf(stream.closed).toEqualTypeOf<Promise<EndReason>>()
  // @ts-expect-error data that are no text need a parser
  openEventStream<Events>('/quotes')
  // @ts-expect-error each of them
  openEventStream<Events>('/quotes', { parse: { note: String } })
  // @ts-expect-error a parser of an event that there is not
  openEventStream<Events>('/quotes', { parse: { quote: JSON.parse, price: JSON.parse } })
  // @ts-expect-error a parser gives what the event has
  openEventStream<Events>('/quotes', { parse: { quote: (text) => text } })
  openEventStream<Events>('/quotes', {
    parse: (text, event) => (event === 'quote' ? JSON.parse(text) : text)
  })
}

export function untyped(): void {
  const stream = openEventStream('/news', {
    lastEventId: '1',
    headers: async () => ({ authorization: 'Bearer' })
  })
  stream.on('any', ({ data, id }) => expectTypeOf([data, id]).toEqualTypeOf<string[]>())
  stream.on('gap', ({ data }) => expectTypeOf(data).toEqualTypeOf<Gap>())
  expectTypeOf<AnyEvent<{ gap: number }>>().toEqualTypeOf<StreamEvent<'gap', number>>()
  openEventStream<{ note: string }>('/notes')
  // @ts-expect-error unknown option
  openEventStream('/news', { header: {} })
}

t.test('client › its types are checked by the compiler', async () => {})
