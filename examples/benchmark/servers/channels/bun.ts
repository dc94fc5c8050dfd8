import type { AddressInfo } from 'node:net'
import { SSE_HEADERS } from '../contestant.ts'
import { type ChannelContestant, frameOf } from './contestant.ts'

/** What is used of Bun's own. */
declare const Bun: {
  serve(options: { hostname: string; port: number; idleTimeout: number; fetch(): Response }): {
    address: AddressInfo
    stop(): Promise<void>
  }
}

/** Its head leaves with the first bytes of the body. */
const COMMENT = ':\n\n'

/** As Bun's guide has it: a `ReadableStream` for each client. What is sent to all is encoded once. */
export async function start(): Promise<ChannelContestant> {
  const encoder = new TextEncoder()
  const controllers = new Set<ReadableStreamDefaultController<Uint8Array>>()
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    fetch() {
      let controller: ReadableStreamDefaultController<Uint8Array>
      const stream = new ReadableStream<Uint8Array>({
        start(own) {
          controller = own
          controller.enqueue(encoder.encode(COMMENT))
          controllers.add(controller)
        },
        cancel() {
          controllers.delete(controller)
        }
      })
      return new Response(stream, { headers: SSE_HEADERS })
    }
  })
  return {
    server: { address: () => server.address },
    listen: async () => {},
    close: () => server.stop(),
    publish(data) {
      const frame = encoder.encode(frameOf(data, 100))
      for (const controller of controllers) controller.enqueue(frame)
    }
  }
}
