/** What is known of version 0.1's ids in Redis: an entry has the milliseconds of Redis's clock, and a number. */
const ENTRY = /^~?(\d+)-(\d+)$/

export function msOf(id: string): number {
  return parse(id)[0]
}

/** Negative if the first is before the second. */
export function compareEntries(first: string, second: string): number {
  const [a, b] = [parse(first), parse(second)]
  return a[0] - b[0] || a[1] - b[1]
}

/** The entry that an event's id has for a channel: by its name, or by itself. */
export function entryFor(channel: string, eventId: string): string | undefined {
  const parts = eventId.split('&').map((part) => part.split('='))
  const named = parts.find(([name]) => name === encodeURIComponent(channel))
  const id = parts.length === 1 && parts[0]?.length === 1 ? eventId : named?.[1]
  return id !== undefined && ENTRY.test(id) ? id : undefined
}

function parse(id: string): [ms: number, number: number] {
  const match = ENTRY.exec(id)
  if (match === null) throw new Error(`no entry of a stream: ${id}`)
  return [Number(match[1]), Number(match[2])]
}
