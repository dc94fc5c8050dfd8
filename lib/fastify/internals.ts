/** The key of something that Fastify or Node keeps and hands to nobody, found by its symbol's description; other versions may have none. */
export function internalKey(holder: object, description: string): symbol | undefined {
  for (let object: object | null = holder; object !== null; object = Object.getPrototypeOf(object)) {
    const key = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description)
    if (key !== undefined) return key
  }
  return undefined
}

/** What is kept under that key. */
export function internal<Value>(holder: object, description: string): Value | undefined {
  const key = internalKey(holder, description)
  return key === undefined ? undefined : Reflect.get(holder, key)
}

/** Puts something else under that key, if there is one. */
export function setInternal(holder: object, description: string, value: unknown): void {
  const key = internalKey(holder, description)
  if (key !== undefined) Reflect.set(holder, key, value)
}
