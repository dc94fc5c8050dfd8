import { Ajv, type ErrorObject } from 'ajv'
import fastJsonStringify, { type Schema } from 'fast-json-stringify'
import { checkEventName, checkObject, invalid } from '../base/check.ts'
import { describe, errorOf, FST_ERR_EVENTSTREAM_INVALID_MESSAGE } from '../base/errors.ts'
import type { EventSchemas } from './event-types.ts'
import { type Declaration, emptiedByJson, formatEvent, formatText } from './message.ts'

/** Schemas that others refer to by their `$id`, as `app.getSchemas()` gives them. */
export type SharedSchemas = Readonly<Record<string, unknown>>

/** What is used of a Standard Schema, version 1, and of its JSON Schema (https://standardschema.dev). */
interface StandardSchema {
  readonly '~standard': {
    validate(data: unknown): StandardResult | Promise<unknown>
    readonly jsonSchema?: { output(options: object): Record<string, unknown> }
  }
}
type StandardResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }
interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What JSON Schema cannot say is anything. */
const JSON_SCHEMA = { target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } }
/** Checks schemas. What it does that with takes long to compile, and so there is one. */
const META = new Ajv({ strict: false, logger: false })
const JSON_OPTIONS = { strict: false, logger: false, validateFormats: false } as const
/** Types whose values are no objects, which might turn into something else in JSON. */
const PRIMITIVES: readonly unknown[] = ['string', 'number', 'integer', 'boolean', 'null']
/** How many of its mistakes are told of one value. */
const MAX_ISSUES = 10
const FLAT_KEYS: readonly string[] = ['type', 'properties', 'required', '$id', 'title', 'description']

/** The text of data that fits. @throws Misfit, or whatever a validator throws, whose text may hold the data. */
type Writer = (data: unknown) => string

/** What the schema forbids, by its names and rules, and in detail, which may hold some of the data. */
class Misfit extends Error {
  readonly detail: string

  constructor(rule: string, detail = '') {
    super(rule)
    this.detail = detail
  }
}

/** Events that were declared, each with how its data becomes text. */
export class DeclaredEvents implements Declaration {
  readonly #events = new Map<
    unknown,
    { readonly name: string; readonly field: string; readonly write: Writer }
  >()

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for what is no name of an event, and what is no schema. */
  constructor(schemas: EventSchemas, shared: SharedSchemas = {}) {
    checkEvents('events', schemas)
    const compiler = new JsonCompiler(Object.values(schemas), shared)
    for (const [name, schema] of Object.entries(schemas)) {
      try {
        const write = isStandard(schema) ? standardWriter(schema) : compiler.writer(schema)
        this.#events.set(name, { name, field: name === 'message' ? '' : formatEvent(name), write })
      } catch (cause) {
        throw invalid(`events.${name}`, `a schema that compiles (${(cause as Error).message})`, schema)
      }
    }
  }

  /** Without what the schema of the data does not declare. */
  format(event: unknown, data: unknown): string {
    const declared = this.#events.get(event === undefined || event === '' ? 'message' : event)
    if (declared === undefined) {
      const names = [...this.#events.keys()].join(', ')
      throw errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, ['message.event', `one of ${names}`, event])
    }
    return declared.field + formatText(textOf(declared, data))
  }
}

function textOf({ name, write }: { name: string; write: Writer }, data: unknown): string {
  try {
    if (data instanceof Uint8Array) throw new Misfit('bytes have no schema')
    return write(data)
  } catch (error) {
    const rule = `what the schema of "${name}" allows${error instanceof Misfit ? ` (${error.message})` : ''}`
    const detail = error instanceof Misfit ? error.detail : textOfError(error)
    throw errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, ['message.data', rule, data], ` ${detail}`)
  }
}

function textOfError(error: unknown): string {
  return error instanceof Error ? error.message : describe(error)
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
export function checkEvents(option: string, value: unknown): asserts value is EventSchemas {
  checkObject(option, value)
  const entries = Object.entries(value)
  if (entries.length === 0) throw invalid(option, 'at least one event', value)
  for (const [name, schema] of entries) {
    checkEventName(`a name in ${option}`, name)
    const isSchema = (typeof schema === 'object' && schema !== null) || typeof schema === 'function'
    if (!isSchema || Array.isArray(schema)) throw invalid(`${option}.${name}`, 'a schema', schema)
  }
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an option that names a declared event, which the library sends itself. */
export function assertUndeclared(
  events: EventSchemas | undefined,
  option: string,
  event: string | false
): void {
  if (event === false || events === undefined || !Object.hasOwn(events, event)) return
  throw invalid(option, 'none of the declared events', event)
}

/** The JSON Schema of what is on the wire; one that allows everything, if that is not known. */
export function jsonSchemaOf(schema: object): object {
  if (!isStandard(schema)) return schema
  try {
    const { $schema, ...rest } = schema['~standard'].jsonSchema?.output(JSON_SCHEMA) ?? {}
    return rest
  } catch {
    return {}
  }
}

/** JSON Schemas of one declaration, which may refer to each other, and to shared ones. */
class JsonCompiler {
  readonly #ajv = new Ajv({ ...JSON_OPTIONS, strictNumbers: true, meta: false, validateSchema: false })
  readonly #shared: readonly (readonly [string, object])[]
  /** Of properties, which schemas name, and are no data. */
  readonly #names: ReadonlySet<string>
  #hasShared = false

  constructor(schemas: readonly object[], shared: SharedSchemas) {
    const own = new Set(schemas.map((schema) => Reflect.get(schema, '$id')))
    this.#shared = Object.entries(shared).filter(([id]) => !own.has(id)) as [string, object][]
    this.#names = namesIn([...schemas, ...Object.values(shared)])
  }

  writer(schema: object): Writer {
    if (META.validateSchema(schema) !== true) throw new Error(META.errorsText())
    const shared = JSON.stringify(schema).includes('"$ref"') ? this.#shared : []
    if (shared.length > 0) this.#addShared()
    const validate = this.#ajv.compile(schema)
    if ('$async' in validate) throw new Error('it is $async, and events cannot wait')
    const stringify = fastJsonStringify(stringLast(schema) as Schema, {
      schema: Object.fromEntries(shared.map(([id, other]) => [id, stringLast(other)])) as Record<
        string,
        Schema
      >,
      ajv: JSON_OPTIONS
    })
    const [isOther, isWhole] = isFlat(schema) ? [turnsIntoOther, isAny] : [holdsOther, isJson]
    const write = (data: unknown): string | undefined => {
      if (!validate(data)) return undefined
      if (typeof data === 'string') return data
      const text = stringify(data)
      refuseEmptied(data, text)
      return isWhole(text) ? text : undefined
    }
    return (data) => {
      const given = isOther(data) ? asJson(data) : data
      const text = write(given)
      if (text !== undefined) return text
      const misfit = validate.errors ? this.#misfit(validate.errors) : new Misfit('there is no JSON of it')
      const plain = asJson(data)
      const other = plain === undefined ? undefined : write(plain)
      if (other === undefined) throw misfit
      return other
    }
  }

  #misfit(errors: readonly ErrorObject[]): Misfit {
    const some = errors.slice(0, MAX_ISSUES)
    const named = some.map((error) => {
      const instancePath = namedPath(error.instancePath.split('/'), this.#names)
      return { ...error, instancePath }
    })
    return new Misfit(this.#ajv.errorsText(named), this.#ajv.errorsText(some))
  }

  #addShared(): void {
    if (this.#hasShared) return
    this.#hasShared = true
    for (const [id, schema] of this.#shared) this.#ajv.addSchema(schema, id)
  }
}

/** Keywords with data, and those with schemas by name. */
const OF_DATA: readonly string[] = ['const', 'enum', 'default', 'examples']
const OF_NAMED: readonly string[] = [
  'properties',
  'patternProperties',
  'definitions',
  '$defs',
  'dependencies'
]

/** A schema that names `string` after all other types: its serializer tries them in this order, and makes text of any object that can. */
function stringLast(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(stringLast)
  if (typeof schema !== 'object' || schema === null) return schema
  const entries = Object.entries(schema).map(([keyword, value]) => {
    if (OF_DATA.includes(keyword)) return [keyword, value]
    if (keyword === 'type' && Array.isArray(value)) return [keyword, value.toSorted(byString)]
    if (!OF_NAMED.includes(keyword)) return [keyword, stringLast(value)]
    return [keyword, Object.fromEntries(Object.entries(value).map(([name, of]) => [name, stringLast(of)]))]
  })
  return Object.fromEntries(entries)
}

function byString(one: unknown, other: unknown): number {
  return Number(one === 'string') - Number(other === 'string')
}

/** Whether it allows nothing but an object of primitives, and others are left out. */
function isFlat(schema: object): boolean {
  const { type, properties = {} } = schema as { type?: unknown; properties?: Record<string, unknown> }
  const areFlat = Object.values(properties).every(
    (property) => typeof property === 'object' && PRIMITIVES.includes(Reflect.get(property as object, 'type'))
  )
  return type === 'object' && areFlat && Object.keys(schema).every((key) => FLAT_KEYS.includes(key))
}

/** Whether it is something else in JSON. */
function turnsIntoOther(data: unknown): boolean {
  return (
    typeof data === 'object' && data !== null && typeof (data as { toJSON?: unknown }).toJSON === 'function'
  )
}

/** The same, of it or of what is in it. */
function holdsOther(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false
  if (turnsIntoOther(data)) return true
  for (const key in data) if (holdsOther(Reflect.get(data, key))) return true
  return false
}

function isAny(): boolean {
  return true
}

/** A serializer writes what has no JSON as it is where a schema allows anything. */
function isJson(text: string): boolean {
  if (!text.includes('undefined')) return true
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What is left of objects such as dates in JSON; `undefined` if that is nothing, or not another value. */
function asJson(data: unknown): unknown {
  if (typeof data !== 'object' || data === null) return undefined
  const text = jsonOf(data)
  if (text === undefined) return undefined
  refuseEmptied(data, text)
  return JSON.parse(text)
}

function jsonOf(data: object): string | undefined {
  try {
    return JSON.stringify(data)
  } catch {
    return undefined
  }
}

function refuseEmptied(data: unknown, text: string): void {
  const emptied = emptiedByJson(data, text)
  if (emptied !== undefined) throw new Misfit(`JSON keeps nothing of ${emptied}`)
}

function standardWriter(schema: StandardSchema): Writer {
  const { '~standard': standard } = schema
  const names = namesIn(jsonSchemaOf(schema))
  return (data) => {
    const result = standard.validate(data)
    if (result instanceof Promise) {
      result.catch(() => {})
      throw new Misfit('it has thrown, or answers later, and events cannot wait')
    }
    if (result.issues !== undefined) {
      const issues = result.issues.slice(0, MAX_ISSUES)
      const paths = issues.map(({ path = [] }) => `data${namedPath(['', ...path.map(keyOf)], names)}`)
      throw new Misfit([...new Set(paths)].join(', '), issues.map(issueText).join(', '))
    }
    if (typeof result.value === 'string') return result.value
    const text = JSON.stringify(result.value)
    if (text === undefined) throw new Misfit('there is no JSON of it')
    refuseEmptied(result.value, text)
    return text
  }
}

function issueText({ message, path = [] }: StandardIssue): string {
  return `data${['', ...path.map(keyOf)].join('/')} ${message}`
}

function keyOf(part: PropertyKey | { readonly key: PropertyKey }): string {
  return String(typeof part === 'object' ? part.key : part)
}

/** The names of all properties that schemas declare. */
function namesIn(schema: unknown, names = new Set<string>()): ReadonlySet<string> {
  if (typeof schema !== 'object' || schema === null) return names
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === 'properties') for (const name of Object.keys(value ?? {})) names.add(name)
    namesIn(value, names)
  }
  return names
}

/** A path in data: keys that no schema declares are data too. */
function namedPath(keys: readonly string[], names: ReadonlySet<string>): string {
  return keys.map((key) => (key === '' || names.has(key) ? key : '*')).join('/')
}

function isStandard(schema: object): schema is StandardSchema {
  return '~standard' in schema
}
