import { type DeliveryOptions, EventDelivery } from './event-delivery.ts'
import type { EventStream } from './event-stream.ts'
import type { OptionsParameter, TextEvents, TypedOptions } from './options.ts'
import { checkRequest, StreamReader } from './stream-reader.ts'

export type { EventStream } from './event-stream.ts'
export type {
  AnyEvent,
  EndReason,
  EventNames,
  EventOf,
  Gap,
  Parse,
  StreamEvent,
  StreamOptions,
  StreamState,
  TextEvents,
  TypedOptions
} from './options.ts'
export { StreamError } from './stream-error.ts'

/**
 * Opens an event stream, and keeps it open: whatever breaks it, it goes on after the last id.
 *
 * @typeParam Events event name → type of its data, such as `EventsOf<typeof events>` of the server. Data that are not text need a
 * `parse` option.
 * @throws TypeError for what no request can be made of: a wrong URL, method, header, or a `GET` with a body.
 */
export function openEventStream<Events extends object = TextEvents>(
  url: string | URL,
  ...[options]: OptionsParameter<TypedOptions<Events>>
): EventStream<Events>
export function openEventStream(url: string | URL, options: DeliveryOptions = {}): EventStream<TextEvents> {
  checkRequest(url, options)
  const stream = new EventDelivery<TextEvents>(options)
  void new StreamReader(url, options, stream).run()
  return stream
}
