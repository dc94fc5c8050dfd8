import type { Socket } from 'node:net'
import { serveBare } from './bare.ts'
import { type ChannelContestant, type ChannelStartOptions, frameOf } from './contestant.ts'

/** The limit: a chunk that is built once for everyone, written to each raw socket in one go. */
export async function start({ channels }: ChannelStartOptions): Promise<ChannelContestant> {
  const sockets: Socket[][] = Array.from({ length: channels }, () => [])
  const chunks = new Chunks()
  let opened = 0
  const contestant = serveBare(({ socket }) => {
    if (socket !== null) sockets[opened++ % channels]?.push(socket)
  })
  return {
    ...contestant,
    publish: (data, channel) => write(sockets[channel], chunks.of(data, 1)),
    publishTimes: (data, times) => write(sockets[0], chunks.of(data, times))
  }
}

function write(sockets: readonly Socket[] = [], chunk: Buffer): void {
  for (const socket of sockets) socket.write(chunk)
}

/** Keeps the last chunk, because it is most often asked for again. */
class Chunks {
  #data = ''
  #times = 0
  #chunk = Buffer.alloc(0)

  of(data: string, times: number): Buffer {
    if (data !== this.#data || times !== this.#times) {
      const text = Array.from({ length: times }, (_, i) => frameOf(data, 100 + i)).join('')
      this.#chunk = Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`)
      this.#data = data
      this.#times = times
    }
    return this.#chunk
  }
}
