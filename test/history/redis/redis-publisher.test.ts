import t from 'tap'
import { Deferred } from '../../../lib/base/promises.ts'
import { RedisPublisher } from '../../../lib/history/redis/redis-publisher.ts'
import { cpuTime, timesAsLong } from '../../helpers/cpu-time.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { nextTurn } from '../../helpers/server.ts'

/** Of times as long. */
const TOO_MUCH = 8

const NO_SCRIPT = Object.assign(new Error('NOSCRIPT'), { code: 'NOSCRIPT' })
const NO_CONNECTION = { message: 'There is no connection to Redis' }

t.test('publish() › waits for a connection, and keeps the order', async (t) => {
  const sent: string[] = []
  const publisher = new RedisPublisher<string>(
    async (one) => sent.push(one),
    async () => {}
  )
  const answers = Promise.all([publisher.publish('a'), publisher.publish('b')])
  t.same(sent, [])
  publisher.start()
  t.same(await answers, [1, 2])
  publisher.stop()
  const late = publisher.publish('c')
  publisher.close()
  await t.rejects(late, NO_CONNECTION)
  await t.rejects(publisher.publish('d'), NO_CONNECTION, 'nor is there one any more')
  t.same(sent, ['a', 'b'])
})

t.test('publish() › what is refused for want of the script is sent again, in order', async (t) => {
  const sent: string[] = []
  let isLoaded = false
  const publisher = new RedisPublisher<string>(
    async (one) => {
      sent.push(one)
      if (!isLoaded) throw NO_SCRIPT
      return one
    },
    async () => {
      isLoaded = true
      throw new Error('the connection broke after that')
    }
  )
  publisher.start()
  const answers = ['a', 'b'].map((one) => publisher.publish(one))
  await nextTurn()
  t.same(await Promise.all([...answers, publisher.publish('c')]), ['a', 'b', 'c'])
  t.same(sent, ['a', 'b', 'a', 'b', 'c'])
})

t.test(
  'publish() › what is refused for want of the script waits for a connection, too, if there is none then',
  async (t) => {
    await FakeClock.run(async (clock) => {
      const publisher = new RedisPublisher<string>(
        async () => {
          publisher.stop()
          throw NO_SCRIPT
        },
        () => {
          throw new Error('there is no connection')
        }
      )
      publisher.start()
      const answer = t.rejects(publisher.publish('a'), NO_CONNECTION)
      await nextTurn()
      clock.advance(5_000)
      await answer
      t.same(clock.pending, { all: 0, withRef: 0 })
    })
  }
)

t.test(
  'publish() › what was refused for want of the script does not come after what was taken',
  async (t) => {
    const sent: string[] = []
    const taken = new Deferred<void>()
    const publisher = new RedisPublisher<string>(
      async (one) => {
        sent.push(one)
        if (one === 'a') throw NO_SCRIPT
        if (one === 'b') await taken.promise
        return one
      },
      async () => {}
    )
    publisher.start()
    const first = t.rejects(publisher.publish('a'), {
      message: 'Redis has refused this, and taken what came after it'
    })
    const others = Promise.all([publisher.publish('b'), nextTurn().then(() => publisher.publish('c'))])
    await nextTurn()
    taken.resolve()
    await first
    t.same(await others, ['b', 'c'])
    t.same(sent, ['a', 'b', 'c'])
  }
)

t.test(
  'publish() › what a replica or another history refuses is sent with the next connection',
  async (t) => {
    for (const code of ['READONLY', 'SITE']) {
      const sent: string[] = []
      let isRefusing = true
      const publisher = new RedisPublisher<string>(
        async (one) => {
          sent.push(one)
          if (isRefusing) throw Object.assign(new Error(code), { code })
          return one
        },
        async () => {
          throw new Error('there is no connection')
        }
      )
      publisher.start()
      const answers = ['a', 'b'].map((one) => publisher.publish(one))
      publisher.stop()
      await nextTurn()
      isRefusing = false
      publisher.start()
      t.same(await Promise.all([...answers, publisher.publish('c')]), ['a', 'b', 'c'])
      t.same(sent, ['a', 'b', 'a', 'b', 'c'])
    }
  }
)

t.test('publish() › rejects with what Redis says', async (t) => {
  const refused = new Error('OOM')
  const publisher = new RedisPublisher<string>(
    async () => {
      throw refused
    },
    async () => {}
  )
  publisher.start()
  await t.rejects(publisher.publish('a'), refused)
})

t.test('publish() › each waits 4.5 s for a connection', async (t) => {
  await FakeClock.run(async (clock) => {
    const publisher = new RedisPublisher<string>(
      async (one) => one,
      async () => {}
    )
    const first = t.rejects(publisher.publish('a'), NO_CONNECTION)
    clock.advance(3_000)
    const second = publisher.publish('b')
    clock.advance(1_500)
    await first
    t.same(clock.pending, { all: 1, withRef: 0 })
    clock.advance(2_999)
    publisher.start()
    t.equal(await second, 'b')
  })
})

t.test('publish() › what is given up takes no longer because much waits', async (t) => {
  const taken = async (count: number): Promise<number> => {
    let time = 0
    await FakeClock.run(async (clock) => {
      const publisher = new RedisPublisher(
        async () => {},
        async () => {}
      )
      const answers: Promise<unknown>[] = []
      for (let i = 0; i < count; i++) {
        answers.push(publisher.publish(i))
        clock.spend(i < 1_000 ? 1 : 0)
      }
      time = await cpuTime(() => clock.advance(4_499))
      publisher.close()
      await Promise.allSettled(answers)
    })
    return time
  }
  const ratio = await timesAsLong(
    () => taken(40_000),
    () => taken(2_000),
    TOO_MUCH
  )
  t.ok(ratio < TOO_MUCH, `${ratio} times for 20 times as many that wait`)
})

t.test('publish() › of a Redis that is slow no more is asked than it can answer in time', async (t) => {
  await FakeClock.run(async (clock) => {
    const sent: number[] = []
    const asked: (() => void)[] = []
    const publisher = new RedisPublisher<number>(
      (one) => {
        sent.push(one)
        return new Promise((resolve) => asked.push(() => resolve(one)))
      },
      async () => {}
    )
    const answerAll = async (): Promise<void> => {
      for (const answer of asked.splice(0)) answer()
      await nextTurn()
    }
    publisher.start()
    const published = Array.from({ length: 6_000 }, (_, i) => publisher.publish(i))
    t.ok(sent.length < 1_100)
    await answerAll()
    t.ok(sent.length > 2_000 && sent.length < 3_100, 'others follow')
    const { length } = sent
    const late = Promise.allSettled(published.slice(length))
    clock.advance(4_500)
    await answerAll()
    t.equal(sent.length, length, 'what is too old is not sent')
    t.same(await Promise.all(published.slice(0, length)), sent, 'what is sent is sent in order')
    const reasons = (await late).map((result) => result.status === 'rejected' && result.reason.message)
    t.same(new Set(reasons), new Set(['Redis is slower than what is published']))
    const next = publisher.publish(6_000)
    await answerAll()
    t.equal(await next, 6_000)
  })
})
