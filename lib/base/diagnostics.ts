import { type Channel, channel } from 'node:diagnostics_channel'

/** A `node:diagnostics_channel`, and what is told by it. */
export type Diagnostics<Event> = Channel<unknown, Event>

export function diagnostics<Event>(name: string): Diagnostics<Event> {
  return channel(name) as Diagnostics<Event>
}
