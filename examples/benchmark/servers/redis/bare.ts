import { createClient } from 'redis'
import { channelName, type RedisContestant } from './contestant.ts'
import type { Receipts } from './receipts.ts'

/** `PUBLISH` and `SUBSCRIBE`, the way the README of the library does. */
export async function start(redisUrl: string, receipts: Receipts): Promise<RedisContestant> {
  const publisher = await createClient({ url: redisUrl }).connect()
  const subscriber = await createClient({ url: redisUrl }).connect()
  return {
    publish: (data, channel) => publisher.publish(channelName(channel), data),
    async follow({ channels, isStamped }) {
      const names = Array.from({ length: channels }, (_, i) => channelName(i))
      await subscriber.subscribe(
        names,
        isStamped ? (data) => receipts.addStamped(data) : () => receipts.add(1)
      )
    }
  }
}
