import { type DeliveryOptions, EventDelivery } from './event-delivery.ts'
import type { EventStream } from './event-stream.ts'
import type { OptionsParameter, TextEvents, TypedOptions } from './options.ts'
import { type SharedOptions, SharedReader } from './shared-reader.ts'
import { checkRequest, StreamReader } from './stream-reader.ts'
import { findLocks } from './surroundings.ts'

export type { SharedOptions } from './shared-reader.ts'

/**
 * Opens an event stream that all tabs share in which this is called with the same URL or name: `openEventStream()`, with one
 * connection. A tab that is opened later is given what the others have kept. It is for streams whose events have ids of their own, as
 * those of channels do. No loop holds it back: what a slow one has not taken is kept for it. Where there are no Web Locks, as
 * in pages without HTTPS, each tab has a connection.
 *
 * @typeParam Events event name → type of its data
 * @throws TypeError for what no request can be made of.
 */
export function openSharedEventStream<Events extends object = TextEvents>(
  url: string | URL,
  ...[options]: OptionsParameter<TypedOptions<Events> & SharedOptions>
): EventStream<Events>
export function openSharedEventStream(
  url: string | URL,
  options: DeliveryOptions & SharedOptions = {}
): EventStream<TextEvents> {
  checkRequest(url, options)
  const stream = new EventDelivery<TextEvents>(options)
  const locks = findLocks()
  const reader =
    locks === undefined
      ? new StreamReader(url, options, stream)
      : new SharedReader(url, options, stream, locks)
  void reader.run()
  return stream
}
