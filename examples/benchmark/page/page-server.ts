import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const EVENTS_PER_MS = 10
const DATA_BYTES = 100
const TURN_MS = 1
const HTML =
  '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script><title>bench</title>'

/** A page that reads streams when it is told to, and the server that it reads them from. */
export class PageServer {
  readonly #server: Server
  readonly #script: Uint8Array
  readonly #events: number
  /** The page's question what to do next. */
  #question: ServerResponse | undefined
  #onQuestion: (() => void) | undefined
  #onDone: ((events: number) => void) | undefined

  private constructor(script: Uint8Array, seconds: number) {
    this.#script = script
    this.#events = seconds * 1_000 * EVENTS_PER_MS
    this.#server = createServer(({ url = '' }, response) => this.#answer(url, response))
  }

  /** @param seconds How long each stream is. */
  static async listen(seconds: number): Promise<PageServer> {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('page.ts', import.meta.url))],
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      write: false
    })
    const pageServer = new PageServer(outputFiles[0]?.contents ?? new Uint8Array(), seconds)
    await once(pageServer.#server.listen(0, '127.0.0.1'), 'listening')
    return pageServer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Resolves when the page has nothing to do. */
  async idle(): Promise<void> {
    if (this.#question !== undefined) return
    await new Promise<void>((resolve) => {
      this.#onQuestion = resolve
    })
  }

  /** Lets the page that is idle read a stream. @throws if not every event came, in order. */
  async read(name: string): Promise<number> {
    const done = new Promise<number>((resolve) => {
      this.#onDone = resolve
    })
    this.#question?.end(name)
    this.#question = undefined
    const events = await done
    if (events !== this.#events) throw new Error(`${events} of ${this.#events} events came by ${name}`)
    return events
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #answer(url: string, response: ServerResponse): void {
    response.setHeader('cache-control', 'no-store')
    const [path, query] = url.split('?')
    if (path === '/next') {
      this.#question = response
      this.#onQuestion?.()
    } else if (path === '/done') {
      response.end()
      this.#onDone?.(Number(query))
    } else if (path === '/stream') this.#stream(response)
    else if (path === '/page.js')
      response.writeHead(200, { 'content-type': 'text/javascript' }).end(this.#script)
    else response.writeHead(200, { 'content-type': 'text/html' }).end(HTML)
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const start = performance.now()
    let sent = 0
    const timer = setInterval(() => {
      const due = Math.min(this.#events, Math.floor((performance.now() - start) * EVENTS_PER_MS))
      let text = ''
      while (sent < due) text += eventOf(sent++)
      if (text !== '') response.write(text)
      if (sent < this.#events) return
      clearInterval(timer)
      response.end('event: close\ndata: \n\n')
    }, TURN_MS)
  }
}

function eventOf(place: number): string {
  const empty = JSON.stringify({ place, text: '' })
  const data = JSON.stringify({ place, text: 'x'.repeat(DATA_BYTES - empty.length) })
  return `id: holoiyze97-${1_000_000 + place}\ndata: ${data}\n\n`
}
