import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DelaySummary, Delays } from '../process/delays.ts'
import { lengthOf } from './requests.ts'

const CONNECTIONS = 200

export interface ProbeOptions {
  port: number
  path: string
  everyMs: number
  durationMs: number
}

export interface ProbeResult extends DelaySummary {
  /** Requests that were not made, because no connection was free. */
  skipped: number
}

/**
 * Asks at a steady rate, however long the answers take, and so often that a server that stands still is asked all the
 * while. The delay is that between asking and having the whole answer.
 */
export async function probe({ port, path, everyMs, durationMs }: ProbeOptions): Promise<ProbeResult> {
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const delays = new Delays()
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => open(port)))
  const free = [...sockets]
  let skipped = 0
  const start = performance.now()
  for (let dueMs = everyMs; dueMs <= durationMs; dueMs += everyMs) {
    const waitMs = start + dueMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    const socket = free.pop()
    if (socket === undefined) skipped++
    else void ask(socket, request, delays).then(() => free.push(socket))
  }
  while (free.length < sockets.length) await sleep(everyMs)
  for (const socket of sockets) socket.destroy()
  return { ...delays.summary(), skipped }
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.once('end', socketOnEnd)
  return socket
}

function socketOnEnd(): void {
  throw new Error('The server closed a keep-alive connection')
}

function ask(socket: Socket, request: Buffer, delays: Delays): Promise<void> {
  return new Promise((resolve) => {
    const before = performance.now()
    socket.write(request)
    socket.once('data', (answer) => {
      delays.add(performance.now() - before)
      if (lengthOf(answer) !== answer.length) throw new Error('Expected an answer in one piece')
      resolve()
    })
  })
}
