import t from 'tap'
import { Batcher } from '../../../lib/history/redis/batcher.ts'

t.test('ask() › asks together what is asked in one turn', async (t) => {
  const asked: (readonly number[])[] = []
  const batcher = new Batcher<number, number>(2, async (questions) => {
    asked.push(questions)
    if (questions.includes(3)) throw new Error('three')
    return questions.map((n) => n * 2)
  })
  const answers = await Promise.allSettled([1, 2, 3, 4, 5].map((n) => batcher.ask(n)))
  t.same(asked, [[1, 2], [3, 4], [5]])
  t.match(answers, [
    { value: 2 },
    { value: 4 },
    { reason: { message: 'three' } },
    { reason: { message: 'three' } },
    { value: 10 }
  ])
  t.equal(await batcher.ask(6), 12)
})
