import { CASES } from './cases.ts'
import { type StoreWorld, World } from './world.ts'

export type { StoreWorld }

/** Something that every store does. */
export interface StoreCase {
  readonly title: string
  /**
   * Tries it.
   *
   * @param create makes a world without messages.
   * @throws AssertionError if the store does something else. A case has no time limit: that is the test runner's.
   */
  run(create: () => StoreWorld | Promise<StoreWorld>): Promise<void>
}
/** What every store does. Each case runs by itself, in a world of its own. */
export const storeCases: readonly StoreCase[] = Object.freeze(
  Object.entries(CASES).map(([title, run]) =>
    Object.freeze({
      title,
      async run(create: () => StoreWorld | Promise<StoreWorld>) {
        const world = new World(await create())
        try {
          await run(world)
        } finally {
          await world.close()
        }
      }
    })
  )
)
