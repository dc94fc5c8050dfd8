import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { openEventStream } from '../../lib/client/client.ts'

const HEAD = { 'content-type': 'text/event-stream' }

/** Answers as it is told, and knows how many connections there are. */
class Answering {
  readonly server: Server

  private constructor(answer: RequestListener) {
    this.server = createServer({ keepAliveTimeout: 0 }, answer)
  }

  static async open(t: Test, answer: RequestListener): Promise<Answering> {
    const answering = new Answering(answer)
    const { server } = answering
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return answering
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`
  }
}

/** What keeps this process alive, by its kind. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

/** Resolves when nothing is left to be done without anything from outside. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('client › in Node › nothing is left behind', async (t) => {
  t.test('by a farewell that comes with the end: no timer', async (t) => {
    const responses: ServerResponse[] = []
    const { url } = await Answering.open(t, (_request, response) => {
      response.writeHead(200, HEAD).write('data: first\n\n')
      responses.push(response)
    })
    const before = timers()
    const stream = openEventStream(url)
    stream.on('message', () => responses[0]?.end('event: close\ndata: bye\n\n'))
    t.equal(await stream.closed, 'server')
    await turns(10)
    t.equal(timers(), before)
  })
})
