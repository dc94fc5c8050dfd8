import fc from 'fast-check'
import t from 'tap'
import { Heap } from '../../lib/base/heap.ts'

t.test('Heap: what is added comes out in the order of its rank', async () => {
  const step = fc.option(fc.integer({ min: -5, max: 1_000 }), { nil: 'take' as const })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new Heap<string>()
      const expected: number[] = []
      for (const step of steps) {
        if (step === 'take') {
          heap.removeFirst()
          expected.shift()
        } else {
          heap.add(`${step}`, step)
          expected.push(step)
          expected.sort((a, b) => a - b)
        }
        const [rank = Infinity] = expected
        if (heap.size !== expected.length || heap.firstRank !== rank) return false
        if (heap.first !== (rank === Infinity ? undefined : `${rank}`)) return false
      }
      return true
    })
  )
})
