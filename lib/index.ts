export type { EventStreamOptions, StartOptions, StreamOptions } from './options.ts'
export { default, default as eventStream } from './plugin.ts'
export type {
  CloseReason,
  ConnectionState,
  EventMap,
  EventStreamStats,
  EventStreams,
  Message,
  MessageId,
  Sendable,
  Serializer,
  Source,
  SSEConnection,
  TypedMessage
} from './types.ts'
