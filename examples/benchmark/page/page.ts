/** What runs in the page: it asks by what to read, reads a stream, and says how many events came. */
import { openEventStream } from '../../../lib/client/client.ts'

interface Quote {
  readonly place: number
}
type Take = (quote: Quote) => void

declare const EventSource: new (
  url: string
) => {
  onmessage: (event: { readonly data: string }) => void
  addEventListener(type: string, listener: () => void): void
  close(): void
}

const readers: Readonly<Record<string, (take: Take) => Promise<unknown>>> = {
  ours(take) {
    const parse = { message: JSON.parse }
    const stream = openEventStream<{ message: Quote }>(new URL('/stream', pageUrl()), { parse })
    stream.on('message', ({ data }) => take(data))
    return stream.closed
  },
  EventSource: (take) =>
    new Promise<void>((resolve) => {
      const source = new EventSource('/stream')
      source.onmessage = ({ data }) => take(JSON.parse(data))
      source.addEventListener('close', () => {
        source.close()
        resolve()
      })
    })
}

function pageUrl(): string {
  return (globalThis as unknown as { location: { href: string } }).location.href
}

for (;;) {
  const name = await (await fetch('/next')).text()
  let events = 0
  await readers[name]?.(({ place }) => {
    if (place === events) events++
  })
  await fetch(`/done?${events}`)
}
