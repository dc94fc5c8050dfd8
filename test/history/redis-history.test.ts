import t from 'tap'
import type { Cursor } from '../../lib/history/history.ts'
import { redisHistory } from '../../lib/history/redis-history.ts'
import { RedisServer } from '../helpers/redis-server.ts'
import { historyConformance } from './conformance.ts'

const redis = await RedisServer.start()
t.teardown(() => redis.stop())
let stores = 0

/** A cursor of the next millisecond. */
function later(cursor: Cursor): Cursor {
  const [ms, number] = cursor.split('-')
  return `${Number(ms) + 1}-${number}`
}

historyConformance('RedisHistory', ({ maxMessages }) => {
  const history = redisHistory({
    url: redis.url,
    prefix: `store ${++stores}:`,
    maxLength: maxMessages,
    maxBytes: 1_000_000_000
  })
  return { history, slack: 128, later, dispose: () => history.close() }
})
