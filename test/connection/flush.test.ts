import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { Flush, type Work } from '../../lib/connection/flush.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { nextTurn } from '../helpers/server.ts'

/** Work of so many shares, which tells a log of each, and takes so long for each. */
function work(
  name: string,
  shares: number,
  log: string[],
  onShare: (share: number) => void = () => {}
): Work {
  let done = 0
  return {
    work() {
      log.push(name)
      onShare(++done)
      return done < shares
    }
  }
}

/** Lets the flush run on a clock of its own, and tells what each turn of the event loop did. */
async function run(
  schedule: (flush: Flush, log: string[], clock: FakeClock) => void,
  between: (flush: Flush, log: string[], turn: number) => void = () => {}
): Promise<{ turns: string[]; flush: Flush }> {
  const flush = new Flush()
  const turns: string[] = []
  await FakeClock.run(async (clock) => {
    const log: string[] = []
    schedule(flush, log, clock)
    turns.push(log.splice(0).join(' '))
    do {
      between(flush, log, turns.length)
      await nextTurn()
      turns.push(log.splice(0).join(' '))
    } while (turns.at(-1) !== '')
  })
  return { turns: turns.slice(0, -1), flush }
}

t.test('Flush › works at the end of the turn, for all at once', async (t) => {
  const { turns, flush } = await run((flush, log) => {
    for (const name of ['a', 'b', 'c']) flush.schedule(work(name, 1, log))
  })
  t.same(turns, ['', 'a b c'])
  t.equal(flush.slices, 1)
})

t.test('Flush › shares are taken in rotation, so that nobody waits for a large one', async (t) => {
  const { turns } = await run((flush, log) => {
    flush.schedule(work('a', 4, log))
    flush.schedule(work('b', 1, log))
    flush.schedule(work('c', 2, log))
  })
  t.same(turns, ['', 'a b c a c a a'])
})

t.test('Flush › what is scheduled meanwhile has its turn after those who were there', async (t) => {
  const { turns } = await run((flush, log) => {
    const late = work('late', 2, log)
    flush.schedule(work('a', 3, log, (share) => share === 1 && flush.schedule(late)))
    flush.schedule(work('b', 1, log))
  })
  t.same(turns, ['', 'a b late a late a'], 'and in the same turn of the event loop')
})

t.test('Flush › gives the event loop back after 4 ms', async (t) => {
  const { turns, flush } = await run((flush, log, clock) => {
    flush.schedule(work('a', 5, log, () => clock.spend(1)))
    flush.schedule(work('b', 5, log, () => clock.spend(1)))
  })
  t.same(turns, ['', 'a b a b', 'a b a b', 'a b'])
  t.equal(flush.slices, 3)
  t.equal(flush.longestSliceMs, 4)
})

t.test('Flush › goes on where it was, also when more is scheduled between two slices', async (t) => {
  const { turns } = await run(
    (flush, log, clock) => {
      for (const name of ['a', 'b', 'c']) flush.schedule(work(name, 2, log, () => clock.spend(2)))
    },
    (flush, log, turn) => {
      if (turn === 2) flush.schedule(work('d', 1, log))
    }
  )
  t.same(turns, ['', 'a b', 'c a', 'b d c'])
})

t.test('Flush › a share that is longer than a slice is one slice', async (t) => {
  const { turns, flush } = await run((flush, log, clock) => {
    flush.schedule(work('a', 2, log, () => clock.spend(50)))
    flush.schedule(work('b', 2, log, () => clock.spend(5)))
  })
  t.same(turns, ['', 'a', 'b', 'a', 'b'])
  t.equal(flush.longestSliceMs, 50)
})

t.test('Flush › other things of the event loop run between two slices', async (t) => {
  const order: string[] = []
  await FakeClock.run(async (clock) => {
    const flush = new Flush()
    flush.schedule(
      work('slice', 3, order, (share) => {
        clock.spend(10)
        setImmediate(() => order.push(`other ${share}`))
      })
    )
    for (let turn = 0; turn < 4; turn++) await nextTurn()
  })
  t.same(order, ['slice', 'other 1', 'slice', 'other 2', 'slice', 'other 3'])
})

t.test('Flush › has nothing to do when nothing is scheduled', async (t) => {
  const flush = new Flush()
  t.same([flush.slices, flush.longestSliceMs], [0, 0])
  const log: string[] = []
  flush.schedule(work('a', 1, log))
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  t.equal(flush.slices, 1)
  flush.schedule(work('b', 1, log))
  await nextTurn()
  t.same(log, ['a', 'b'], 'and begins again when something is')
  t.equal(flush.slices, 2)
})

t.test('Flush › a turn in which nothing was done is no slice', async (t) => {
  const scheduledWithin = await run((flush, log) => {
    flush.schedule(work('a', 1, log, () => flush.schedule(work('b', 1, log))))
  })
  await nextTurn()
  t.same(scheduledWithin.turns, ['', 'a b'])
  t.equal(scheduledWithin.flush.slices, 1)

  const fullSlice = await run((flush, log, clock) => flush.schedule(work('a', 4, log, () => clock.spend(1))))
  await nextTurn()
  t.same(fullSlice.turns, ['', 'a a a a'])
  t.equal(fullSlice.flush.slices, 1)
})

t.test('Flush › work that throws does not hold up the rest', async (t) => {
  const { setImmediate } = globalThis
  const slices: (() => void)[] = []
  const log: string[] = []
  Object.assign(globalThis, { setImmediate: (slice: () => void) => slices.push(slice) })
  try {
    const flush = new Flush()
    flush.schedule({
      work() {
        throw new Error('failed')
      }
    })
    flush.schedule(work('a', 2, log))
    t.throws(() => slices.shift()?.(), { message: 'failed' })
    t.equal(slices.length, 1, 'which goes on in the next turn')
    slices.shift()?.()
    flush.schedule(work('b', 1, log))
    t.equal(slices.length, 1)
    slices.shift()?.()
  } finally {
    Object.assign(globalThis, { setImmediate })
  }
  t.same(log, ['a', 'a', 'b'])
})

t.test('Flush › tells diagnostics how long each slice took', async (t) => {
  const events: unknown[] = []
  const onFlush = (event: unknown): void => {
    events.push(event)
  }
  const name = 'fastify-eventstream:flush'
  const once = (): Promise<unknown> =>
    run((flush, log, clock) => {
      flush.schedule(work('a', 2, log, (share) => clock.spend(share * 5)))
    })
  subscribe(name, onFlush)
  await once()
  unsubscribe(name, onFlush)
  t.same(events, [{ durationMs: 5 }, { durationMs: 10 }])
  await once()
  t.equal(events.length, 2, 'as long as somebody listens')
})
