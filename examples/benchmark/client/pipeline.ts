import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface PipelineOptions {
  port: number
  path: string
  count: number
  stayMs: number
}

/** Asks for so many streams on one connection at once, stays for a while, and leaves. @returns the bytes it got. */
export async function pipeline({ port, path, count, stayMs }: PipelineOptions): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`.repeat(count))
  await sleep(stayMs)
  socket.destroy()
  return socket.bytesRead
}
