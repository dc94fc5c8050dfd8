import t from 'tap'
import { storeCases } from '../../lib/conformance/conformance.ts'
import type { Store, StoreAppend, StoredMessage, StorePast } from '../../lib/history/store.ts'
import { blocks } from '../helpers/manual.ts'
import { runTypeScript } from '../helpers/run-typescript.ts'
import { NewShelf, type Shelf, ShelfStore } from '../helpers/shelf-store.ts'

type Make = (shelf: Shelf) => Store

/** The titles of the cases that a store fails. */
async function failuresOf(make: Make): Promise<string[]> {
  const failed: string[] = []
  for (const { title, run } of storeCases) {
    const shelf = new NewShelf()
    await run(() => ({ store: () => make(shelf) })).catch(() => failed.push(title))
  }
  return failed
}

t.test('conformance › the store of the guide does what every store does, as its program tries', async (t) => {
  const tests: [title: string, run: () => Promise<void>][] = []
  const shelves: Shelf[] = []
  class WatchedShelf extends NewShelf {
    constructor() {
      super()
      shelves.push(this)
    }
  }
  const scope = {
    test: (...test: (typeof tests)[number]) => tests.push(test),
    Shelf: WatchedShelf,
    ShelfStore
  }
  const [program = ''] = blocks('js').filter((code) => code.includes('storeCases'))
  await runTypeScript(program, scope)
  t.same(
    tests.map(([title]) => title),
    storeCases.map(({ title }) => title)
  )
  for (const [title, run] of tests) await t.resolves(run(), title)
  t.equal(shelves.length, storeCases.length)
  for (const { listeners } of shelves) t.equal(listeners.size, 0, 'all stores of the case are closed')
})

t.test('conformance › a store that does something else is found', async (t) => {
  const wrong: Record<string, Make> = {
    'has an epoch of its own': (shelf) =>
      Object.defineProperty(new ShelfStore(shelf), 'epoch', { value: `e${Math.random()}`.replace('.', '') }),
    'reads what is at the place, too': (shelf) =>
      changed(shelf, ({ read }) => ({ read: (name, after) => read(name, after - 1) })),
    'reads nothing': (shelf) =>
      changed(shelf, () => ({ read: async () => ({ messages: [], dropped: 0, isEnded: false }) })),
    'says that nothing was dropped': (shelf) =>
      changed(shelf, ({ read }) => ({
        read: async (name, after) => ({ ...(await read(name, after)), dropped: 0 })
      })),
    'says that all was told': (shelf) =>
      changed(shelf, ({ read }) => ({
        read: async (name, after) => ({ ...(await read(name, after)), toldAfter: 0 })
      })),
    'forgets who else has a message': (shelf) =>
      changed(shelf, ({ read }) => ({
        read: async (name, after) => mapped(await read(name, after), { channels: [name] })
      })),
    'keeps what it is not to keep': (shelf) =>
      changed(shelf, ({ append }) => ({ append: (given) => append({ ...given, isKept: true }) })),
    'forgets idempotency keys': (shelf) =>
      changed(shelf, ({ append }) => ({
        append: (given) => append({ ...given, idempotencyKey: undefined })
      })),
    'has idempotency keys for all channels': (shelf) =>
      changed(shelf, ({ append }) => ({
        append: (given) =>
          append(given.idempotencyKey ? { ...given, channels: given.channels.slice(0, 1) } : given)
      })),
    'proves everything': (shelf) =>
      changed(shelf, () => ({ prove: async (places) => places.map(() => true) })),
    'proves nothing': (shelf) => changed(shelf, () => ({ prove: async (places) => places.map(() => false) })),
    'has no head': (shelf) => changed(shelf, () => ({ head: async () => 0 })),
    'begins at nothing': (shelf) =>
      changed(shelf, ({ open }) => ({ open: async (listener) => (await open(listener)) * 0 })),
    'tells after it was closed': (shelf) => changed(shelf, () => ({ close: async () => {} })),
    'appends in any order': (shelf) =>
      changed(shelf, ({ append }) => ({
        append: async (given) => {
          for (let i = 0; i < Number(given.messages[0]?.text) % 3; i++) await undefined
          return append(given)
        }
      })),
    'tears batches apart': (shelf) =>
      changed(shelf, ({ append }) => ({
        append: async (given: StoreAppend) => {
          const all = []
          for (const message of given.messages) all.push(await append({ ...given, messages: [message] }))
          return { places: all.flatMap(({ places }) => places), isNew: all[0]?.isNew ?? true, isEnded: false }
        }
      })),
    'goes on after an end': (shelf) =>
      changed(shelf, ({ append }) => ({ append: (given) => append({ ...given, isEnd: false }) })),
    'trims too much': (shelf) =>
      changed(shelf, ({ append }) => ({
        append: (given) =>
          append({
            ...given,
            channels: given.channels.map(({ name, limits }) => ({
              name,
              limits: { ...limits, maxMessages: Math.min(9, limits.maxMessages) }
            }))
          })
      }))
  }
  for (const [title, make] of Object.entries(wrong)) {
    const failed = await failuresOf(make)
    t.not(failed.length, 0, `${title}: ${failed.length} cases`)
  }
})

/** A store of the shelf with some methods changed, which are given those that it has. */
function changed(shelf: Shelf, change: (store: Store) => Partial<Store>): Store {
  const store = new ShelfStore(shelf)
  const methods: Store = {
    get epoch() {
      return store.epoch
    },
    open: (listener) => store.open(listener),
    append: (append) => store.append(append),
    read: (channel, after) => store.read(channel, after),
    prove: (places) => store.prove(places),
    head: () => store.head(),
    close: () => store.close()
  }
  return Object.defineProperties(methods, Object.getOwnPropertyDescriptors(change({ ...methods })))
}

function mapped({ messages, ...past }: StorePast, change: Partial<StoredMessage>): StorePast {
  return { messages: messages.map((message) => ({ ...message, ...change })), ...past }
}
