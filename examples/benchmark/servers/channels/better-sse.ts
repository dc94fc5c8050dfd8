import { once } from 'node:events'
import { createServer } from 'node:http'
import { createChannel, createEventBuffer, createSession } from 'better-sse'
import { LISTEN } from '../contestant.ts'
import type { ChannelContestant } from './contestant.ts'

export async function start(): Promise<ChannelContestant> {
  return serve().contestant
}

/** What its README offers for many messages at once, by hand: one batch that all sessions share. */
export async function startBatching(): Promise<ChannelContestant> {
  const { channel, contestant } = serve()
  return {
    ...contestant,
    publishTimes(data, times) {
      const batch = createEventBuffer()
      for (let i = 0; i < times; i++) batch.push(data)
      for (const session of channel.activeSessions) void session.batch(batch)
    }
  }
}

function serve() {
  const channel = createChannel()
  const server = createServer(async (request, response) => {
    channel.register(await createSession(request, response))
  })
  const contestant: ChannelContestant = {
    server,
    listen: () => once(server.listen(LISTEN), 'listening'),
    close: () => new Promise((resolve) => server.close(resolve)),
    publish: (data) => void channel.broadcast(data)
  }
  return { channel, contestant }
}
