import type { FastifyTypeProvider, FastifyTypeProviderDefault } from 'fastify'
import type { Message, MessageId } from './message.ts'

/**
 * Event name → schema of its data: a JSON Schema (draft 7, as Fastify's own), such as TypeBox makes, or a Standard Schema,
 * such as Zod makes. `message` is the event of messages without a name.
 */
export type EventSchemas = Readonly<Record<string, object>>

/**
 * Event name → type of its data, as the type provider tells it from the schema; without one, as a Standard Schema does,
 * and `unknown` for others.
 */
export type EventsOf<
  Schemas extends EventSchemas,
  Provider extends FastifyTypeProvider = FastifyTypeProviderDefault
> = {
  -readonly [Name in keyof Schemas]: DataOf<Schemas[Name], Provider>
}

/** What is sent is the input of a Standard Schema, of which type providers tell the output. */
type DataOf<Schema, Provider extends FastifyTypeProvider> = Schema extends { readonly '~standard': object }
  ? StandardInput<Schema>
  : Provided<Schema, Provider>
type Provided<Schema, Provider extends FastifyTypeProvider> = (Provider & {
  readonly schema: Schema
})['serializer']
type StandardInput<Schema> = Schema extends { readonly '~standard': { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly input: infer Input }
    ? Input
    : unknown
  : unknown

/** Event name → type of its data. An application's own map is given to `reply.sseStart<Events>()`. */
export type EventMap = Record<string, unknown>

type MessageMeta = { id?: MessageId; retry?: number }
/**
 * What `send()` takes of `Given`, a type of messages. Its data is not `undefined`, which is no data at all; what may be anything
 * may be that, too. Without declared events, `Given` is what is inferred of the argument.
 */
export type Checked<Given, Events extends object, All> = string extends keyof Events
  ? Given & (Given extends string ? unknown : Exactly<Given>)
  : All
type Exactly<Given> = (Given extends { data: undefined } ? never : unknown) & {
  [Field in Exclude<keyof Given, keyof Message>]: never
}

type EventName<Events> = keyof Events & string
type NamedMessage<Events> = {
  [Name in EventName<Events>]: MessageMeta & { event: Name; data: Exclude<Events[Name], undefined> }
}[EventName<Events>]
type UnnamedMessage<Events> = Events extends { message: infer Data }
  ? MessageMeta & { event?: never; data: Exclude<Data, undefined> }
  : never
type DatalessMessage = { event?: never; data?: never } & (
  | { id: MessageId; retry?: number }
  | { id?: MessageId; retry: number }
)

/** A message of one of the declared events: names that are not declared, and data of another type, are type errors. */
export type TypedMessage<Events extends object> = string extends keyof Events
  ? Message
  : NamedMessage<Events> | UnnamedMessage<Events> | DatalessMessage

/** What `send()` takes: a message, or a string that stands for `{ data: string }`. */
export type Sendable<Events extends object = EventMap> =
  | TypedMessage<Events>
  | (string extends keyof Events
      ? string
      : Events extends { message: infer Data }
        ? unknown extends Data
          ? string
          : Extract<Data, string>
        : never)
