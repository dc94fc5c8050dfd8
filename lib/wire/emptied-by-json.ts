import { types } from 'node:util'

/**
 * What JSON makes `{}` of because its value is elsewhere than in its own properties, such as a promise, a `Map` or an
 * `Error`: what it is, if there is such a value in `data`.
 *
 * @param json what became of `data`.
 */
export function emptiedByJson(data: unknown, json: string): string | undefined {
  if (!json.includes('{}')) return undefined
  let found: object | undefined
  JSON.stringify(data, (_key, value: unknown) => {
    if (isEmptied(value)) found ??= value
    return value
  })
  return found === undefined ? undefined : nameOf(found)
}

function isEmptied(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (Object.keys(value).length > 0 || types.isBoxedPrimitive(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype !== null && Object.getPrototypeOf(prototype) !== null
}

function nameOf(value: object): string {
  const { name } = value.constructor ?? {}
  return typeof name === 'string' && name !== '' ? `a ${name}` : 'an object'
}
