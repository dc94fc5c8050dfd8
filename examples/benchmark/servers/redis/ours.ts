import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { redisHistory } from '../../../../lib/history/redis/redis-history.ts'
import eventStream from '../../../../lib/index.ts'
import type { Channel, Subscription } from '../../../../lib/types.ts'
import { STAMP_LENGTH } from '../../process/clock.ts'
import { LISTEN, portOf } from '../contestant.ts'
import { RedisCalls } from './calls.ts'
import { channelName, type RedisContestant } from './contestant.ts'
import { Followers } from './follower.ts'
import type { Receipts } from './receipts.ts'

const POLL_MS = 5
const DATA = Buffer.from('data: ')

/**
 * A node. Its clients are subscribed to one channel each, in the order in which they come; of those that ask for `/?stamped`
 * it is measured when their sockets are given a message.
 */
export async function start(redisUrl: string, receipts: Receipts): Promise<RedisContestant> {
  const calls = new RedisCalls()
  const history = redisHistory({ client: calls.client(redisUrl) })
  const app = Fastify()
  await app.register(eventStream, { history })
  const channels: Channel[] = []
  const subscriptions: Subscription[] = []
  app.get('/', (request: FastifyRequest, reply: FastifyReply) => {
    if (request.url === '/?stamped') watchWrites(request.raw.socket, receipts)
    subscriptions.push(channelOf(subscriptions.length).subscribe(reply.sseStart()))
  })
  await app.listen(LISTEN)
  return {
    port: portOf(app),
    publish: (data, channel) => channelOf(channel).publish(data),
    follow: ({ channels: count }) =>
      new Followers(history, receipts).follow(Array.from({ length: count }, (_, i) => channelName(i))),
    async settled() {
      while (subscriptions.some(({ cursor }) => cursor === undefined)) await sleep(POLL_MS)
    },
    calls: () => calls.counts()
  }

  function channelOf(index: number): Channel {
    channels[index] ??= app.sse.channel(channelName(index))
    return channels[index]
  }
}

/** Messages are handed to a socket as one chunk or several in one. */
function watchWrites(socket: Socket, receipts: Receipts): void {
  const { write } = socket
  Reflect.set(socket, 'write', (chunk: unknown, ...rest: unknown[]) => {
    if (chunk instanceof Buffer) takeStamps(chunk, receipts)
    return Reflect.apply(write, socket, [chunk, ...rest])
  })
}

function takeStamps(chunk: Buffer, receipts: Receipts): void {
  for (let at = chunk.indexOf(DATA); at !== -1; at = chunk.indexOf(DATA, at + DATA.length)) {
    receipts.addStamped(chunk.toString('latin1', at + DATA.length, at + DATA.length + STAMP_LENGTH))
  }
}
