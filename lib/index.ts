export type {
  Channel,
  ChannelInfo,
  ChannelMessage,
  ChannelOptions,
  From,
  Gap,
  GapAnswer,
  GapReason,
  Publishable,
  PublishOptions,
  ReadItem,
  ReadOptions,
  SubscribeOptions,
  Subscription
} from './channel/channel.ts'
export type { ChannelPatterns } from './channel/channel-options.ts'
export type { GapEvent, PublishEvent } from './channel/diagnostics.ts'
export type { Farewell } from './connection/farewell.ts'
export type { FlushEvent } from './connection/flush.ts'
export type { RelayedEvent } from './connection/source.ts'
export type {
  AnyConnection,
  AnySubscription,
  CloseReason,
  ConnectionState,
  Source,
  SourceOf,
  SSEConnection
} from './connection/sse-connection.ts'
export type { EventStreamStats, EventStreams } from './fastify/event-streams.ts'
export type { LimitOptions } from './fastify/limit.ts'
export type {
  EventStreamOptions,
  HistoryOptions,
  RouteStreamOptions,
  StartOptions,
  StreamOptions
} from './fastify/options.ts'
export { default, default as eventStream } from './fastify/plugin.ts'
export { eventStreamTransform } from './fastify/route-options.ts'
export type { CloseEvent, DiagnosticsEvents, OpenEvent } from './fastify/stream-log.ts'
export { type Cursor, type Place, placeAfter } from './history/place.ts'
export type { RedisClient } from './history/redis/redis-link.ts'
export type { RedisStoreOptions } from './history/redis/redis-options.ts'
export { redisStore } from './history/redis/redis-store.ts'
export type {
  Lease,
  Limits,
  Store,
  StoreAppend,
  StoreAppended,
  StoredMessage,
  StoreLeases,
  StoreListener,
  StorePast,
  TakenLease
} from './history/store.ts'
export type {
  Run,
  RunEnd,
  RunEndState,
  RunEvent,
  RunInfo,
  RunOptions,
  RunSource,
  RunState,
  Runs,
  StartedRun
} from './run/run.ts'
export type { RunsOptions } from './run/run-options.ts'
export type { EventMap, EventSchemas, EventsOf, Sendable, TypedMessage } from './wire/event-types.ts'
export type { Message, MessageId, Serializer } from './wire/message.ts'
