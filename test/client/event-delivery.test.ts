import t from 'tap'
import { EventDelivery } from '../../lib/client/event-delivery.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'

/** Of times as long. */
const TOO_MUCH = 60

t.test('client › a loop that is far behind takes no quadratic time', async (t) => {
  const taken = async (count: number): Promise<number> => {
    const stream = new EventDelivery({})
    const loop = stream[Symbol.asyncIterator]()
    const first = loop.next()
    for (let i = 0; i < count; i++) stream.give({ event: 'news', data: `${i}`, id: '', hasId: false })
    await first
    const time = await cpuTime(async () => {
      for (let i = 1; i < count; i++) await loop.next()
    })
    await loop.return?.()
    return time
  }
  const ratio = await timesAsLong(
    () => taken(120_000),
    () => taken(10_000),
    TOO_MUCH
  )
  t.ok(ratio < TOO_MUCH, `${ratio} times for 12 times as many`)
})
