import type { FastifyTypeProvider, FastifyTypeProviderDefault } from 'fastify'

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
