import type { Place } from '../../lib/history/place.ts'
import type { Store, StoreListener } from '../../lib/history/store.ts'
import { guide } from './manual.ts'
import { runTypeScript } from './run-typescript.ts'

/** What the servers of one process share. */
export interface Shelf {
  readonly epoch: string
  readonly listeners: Set<StoreListener>
  last: Place
}

const [, code = ''] = /^```ts\n(import [\s\S]*?class ShelfStore[\s\S]*?)^```$/m.exec(guide('stores')) ?? []
const classes = {} as { Shelf: new () => Shelf; ShelfStore: new (shelf: Shelf) => Store }
await runTypeScript(`${code}\nObject.assign(classes, { Shelf, ShelfStore })`, { classes })

/** The store of the guide to stores. */
export const { Shelf: NewShelf, ShelfStore } = classes
