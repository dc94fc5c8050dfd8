/** What an id says: one cursor that does not say whose it is, or the cursors of several channels. */
export type ReceivedId = { readonly bare: string } | { readonly byChannel: ReadonlyMap<string, string> }

/** Written from the README's words, not from the library. What is neither is a cursor that nobody knows. */
export function readId(id: string): ReceivedId {
  const parts = id.split('&').map((part) => /^([\w.~%-]+)=([\w.~-]+)$/.exec(part))
  const byChannel = new Map<string, string>()
  for (const part of parts) {
    if (part === null) return { bare: id }
    byChannel.set(decodeURIComponent(String(part[1])), String(part[2]))
  }
  return { byChannel }
}

/** The cursor that an id brings back for a channel. */
export function cursorFor(channel: string, id: string | undefined): string | undefined {
  if (id === undefined || id === '') return undefined
  const read = readId(id)
  return 'bare' in read ? read.bare : read.byChannel.get(channel)
}
