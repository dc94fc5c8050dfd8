export type {
  CloseEvent,
  DiagnosticsEvents,
  FlushEvent,
  GapEvent,
  HistoryEvent,
  OpenEvent,
  PublishEvent
} from './base/diagnostics.ts'
export type { EventSchemas, EventsOf } from './wire/event-types.ts'
export type {
  Cursor,
  GapReason,
  History,
  HistoryListener,
  Log,
  LoggedFrame,
  LogListener,
  Page,
  ReadLimits
} from './history/history.ts'
export { type MemoryHistoryOptions, memoryHistory } from './history/memory/memory-history.ts'
export { type RedisHistoryOptions, redisHistory } from './history/redis/redis-history.ts'
export type { RedisClient } from './history/redis/redis-link.ts'
export type { EventStreamOptions, StartOptions, StreamOptions } from './fastify/options.ts'
export { default, default as eventStream } from './fastify/plugin.ts'
export { eventStreamTransform } from './fastify/route-events.ts'
export type {
  AnyConnection,
  Channel,
  ChannelMessage,
  ChannelOptions,
  CloseReason,
  ConnectionState,
  EventMap,
  EventStreamStats,
  EventStreams,
  Gap,
  GapAnswer,
  Message,
  MessageId,
  Publishable,
  PublishOptions,
  Sendable,
  Serializer,
  Source,
  SSEConnection,
  SubscribeOptions,
  Subscription,
  TypedMessage
} from './types.ts'
