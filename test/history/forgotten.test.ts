import t from 'tap'
import { Forgotten } from '../../lib/history/forgotten.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'

/** Of times as long. */
const TOO_MUCH = 15

/** More than are remembered by name. */
const NAMES = 50_000

/** What it takes so many to remember them, each as many. */
function taken(count: number): Promise<number> {
  const all = Array.from({ length: count }, () => new Forgotten())
  return cpuTime(() => {
    for (let i = 0; i < NAMES; i++) all[i % count]?.set(`${i}`, i + 1)
  })
}

t.test('Forgotten › no channel is taken for one that has dropped nothing, or less', async (t) => {
  const forgotten = new Forgotten()
  for (let i = 1; i <= NAMES; i++) forgotten.set(`${i}`, i)
  const wrong = Array.from({ length: NAMES }, (_, i) => i + 1).filter((i) => forgotten.get(`${i}`) < i)
  t.same(wrong, [])
  t.equal(forgotten.get(`${NAMES}`), NAMES)
})

t.test('Forgotten › each takes no longer the more there are', async (t) => {
  const ratio = await timesAsLong(
    () => taken(1),
    () => taken(6),
    TOO_MUCH
  )
  // Those of six are all remembered by name. To look for the oldest one by one takes thirty times.
  t.ok(ratio < TOO_MUCH, `${ratio} times`)
})
