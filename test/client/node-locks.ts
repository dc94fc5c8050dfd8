import type { Locks } from '../../lib/client/surroundings.ts'

/** Web Locks as Node has them from 24 on: who asked first has the lock until what the callback promises has settled. */
class NodeLocks implements Locks {
  readonly #last = new Map<string, Promise<unknown>>()

  request(
    name: string,
    { signal }: { readonly signal: AbortSignal },
    callback: () => unknown
  ): Promise<unknown> {
    const held = (this.#last.get(name) ?? Promise.resolve()).then(() => {
      signal.throwIfAborted()
      return callback()
    })
    this.#last.set(
      name,
      held.catch(() => {})
    )
    return held
  }
}

Object.defineProperty(globalThis, 'navigator', {
  value: { locks: new NodeLocks() },
  configurable: true,
  writable: true
})
