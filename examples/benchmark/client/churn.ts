import { connect, type Socket } from 'node:net'

const REQUEST = 'GET /?auth HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n'
const EVENT_END = '\n\n'

export interface ChurnOptions {
  port: number
  count: number
  concurrency: number
}

/**
 * Connects and leaves, so many at a time. Half of the clients leave by a reset and half by a FIN, half of each after
 * their first event and half as soon as they have asked, while the server is still authenticating them.
 *
 * @returns how many were served an event.
 */
export async function churn({ port, count, concurrency }: ChurnOptions): Promise<number> {
  let started = 0
  let served = 0
  async function worker(): Promise<void> {
    while (started < count) if (await visit(port, started++)) served++
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return served
}

function visit(port: number, index: number): Promise<boolean> {
  const leave = index % 2 === 0 ? reset : end
  const isWaiting = index % 4 < 2
  return new Promise((resolve, reject) => {
    let isServed = false
    const socket = connect(port, '127.0.0.1')
    socket.write(REQUEST, () => {
      if (!isWaiting) leave(socket)
    })
    socket.on('data', (data) => {
      if (isServed || !data.includes(EVENT_END)) return
      isServed = true
      leave(socket)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(isServed))
  })
}

function reset(socket: Socket): void {
  socket.resetAndDestroy()
}

function end(socket: Socket): void {
  socket.end()
}
