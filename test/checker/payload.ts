/** Text that takes 1 to 4 bytes a character, and what could be taken for fields. */
const FILLERS = ['x', 'ü', '\u2028', '😀', ': ', 'line\n', '\n', 'data: x\n', 'id: 7\n'] as const
/** Those without line ends: many lines take long to read. */
const LONG_FILLERS = FILLERS.slice(0, 5)

/** Data that no other message has, of about `size` bytes on the wire. */
export function payloadOf(channel: string, number: number, size: number): string {
  const fillers = size > 4_000 ? LONG_FILLERS : FILLERS
  const filler = fillers[number % fillers.length] ?? 'x'
  const fillerBytes = Buffer.byteLength(filler) + (filler.includes('\n') ? 'data: '.length : 0)
  const head = `${channel} ${number} `
  return head + filler.repeat(Math.max(0, Math.ceil((size - head.length) / fillerBytes)))
}

/** Bytes of a message on the wire, without its id. */
export function bytesOnWire(event: string, data: string): number {
  const newlines = data.split('\n').length - 1
  const eventBytes = event === 'message' ? 0 : Buffer.byteLength(event) + 'event: \n'.length
  return eventBytes + Buffer.byteLength(data) + newlines * 'data: '.length + 'data: \n\n'.length
}
