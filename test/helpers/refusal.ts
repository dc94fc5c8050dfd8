/** The text and the cause of an error of what is checked, from how its value is shown: `'a' (string)`. */
export function refusal(rule: string, shown: string): { message: string; cause: string } {
  return { message: `Expected ${rule}, got ${kindIn(shown)}`, cause: shown }
}

/** `a string`, `an array`, `null` */
export function kindIn(shown: string): string {
  const type = String(/\((\w+)\)$/.exec(shown)?.[1])
  if (type === 'null' || type === 'undefined') return type
  return `${type === 'array' || type === 'object' ? 'an' : 'a'} ${type}`
}
