import type { FastifyInstance } from 'fastify'
import { DeclaredEvents } from '../wire/declared-events.ts'
import type { EventSchemas } from '../wire/event-types.ts'

/** What routes and channels say they send. */
export class Declarations {
  readonly #app: FastifyInstance
  readonly #known = new WeakMap<FastifyInstance, WeakMap<EventSchemas, DeclaredEvents>>()

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /**
   * Schemas are compiled once for each scope, with those that it shares.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION
   */
  of(schemas: EventSchemas | undefined, scope: FastifyInstance = this.#app): DeclaredEvents | undefined {
    if (schemas === undefined) return undefined
    const ofScope = this.#known.get(scope) ?? new WeakMap<EventSchemas, DeclaredEvents>()
    this.#known.set(scope, ofScope)
    const known = ofScope.get(schemas)
    if (known !== undefined) return known
    const declared = new DeclaredEvents(schemas, scope.getSchemas())
    ofScope.set(schemas, declared)
    return declared
  }
}
