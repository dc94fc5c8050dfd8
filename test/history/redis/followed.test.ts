import t from 'tap'
import { Followed } from '../../../lib/history/redis/followed.ts'
import { RedisReplyError } from '../../../lib/history/redis/redis-link.ts'
import { nextTurn } from '../../helpers/server.ts'
import { hasSettled } from '../../helpers/settled.ts'

function none(): Followed {
  return new Followed(async () => {})
}

t.test('add() › resolves when a connection has the channel', async (t) => {
  const asked: [readonly string[], boolean][] = []
  let fails = false
  const followed = new Followed(async (names, isWanted) => {
    asked.push([names, isWanted])
    if (fails) throw new Error('the connection broke')
  })
  const first = followed.add('a')
  t.equal(followed.add('a'), first)
  followed.goOn()
  await first
  t.same(asked, [
    [['a'], true],
    [[], false]
  ])

  asked.length = 0
  followed.remove('a')
  followed.remove('not followed')
  await followed.add('b')
  t.same(asked, [
    [['b'], true],
    [['a'], false]
  ])
  t.same([...followed.names], ['b'])

  fails = true
  const second = followed.add('c')
  await nextTurn()
  t.equal(await hasSettled(second), false)
  followed.breakOff()
  followed.confirm(followed.names)
  followed.goOn()
  await second

  // A connection that breaks before they are asked for.
  asked.length = 0
  const third = followed.add('d')
  followed.breakOff()
  await nextTurn()
  t.same(asked, [])
  fails = false
  followed.goOn()
  await third
})

t.test('add() › one channel that is refused holds back no other', async (t) => {
  const asked: (readonly string[])[] = []
  const followed = new Followed(async (names, isWanted) => {
    if (isWanted) asked.push(names)
    if (names.includes('b')) throw new RedisReplyError(new Error('NOPERM not this one'))
  })
  followed.goOn()
  const all = ['a', 'b', 'c'].map((name) => followed.add(name))
  await t.rejects(Promise.resolve(all[1]), { code: 'NOPERM' })
  await Promise.all([all[0], all[2]])
  t.same(asked, [['a', 'b', 'c'], ['a'], ['b'], ['c']])
  t.same([...followed.names], ['a', 'c'])
})

t.test('isTold() › only from when a channel is followed again', async (t) => {
  const answers: (() => void)[] = []
  const followed = new Followed(() => new Promise((resolve) => answers.push(resolve)))
  const answer = async (): Promise<void> => {
    for (const resolve of answers.splice(0)) resolve()
    await nextTurn()
  }
  followed.goOn()
  t.equal(followed.isTold('a'), false)
  void followed.add('a')
  await nextTurn()
  t.equal(followed.isTold('a'), false)
  followed.remove('a')
  await nextTurn()
  void followed.add('a')
  await Promise.resolve()
  for (const resolve of answers.splice(0, 4)) resolve()
  await nextTurn()
  t.equal(followed.isTold('a'), false, 'what is confirmed was given up')
  await answer()
  t.equal(followed.isTold('a'), true)
  followed.remove('a')
  t.equal(followed.isTold('a'), false)
})

t.test('asks for no change before it knows what became of the one before', async (t) => {
  const asked: [string, boolean][] = []
  const answers: (() => void)[] = []
  const followed = new Followed((names, isWanted) => {
    for (const name of names) asked.push([name, isWanted])
    return names.length === 0 ? Promise.resolve() : new Promise((resolve) => answers.push(resolve))
  })
  followed.goOn()
  const first = followed.add('a')
  await nextTurn()
  followed.remove('a')
  await nextTurn()
  t.same(asked, [['a', true]])
  answers.shift()?.()
  await first
  const again = followed.add('a')
  await nextTurn()
  t.equal(await hasSettled(again), false)
  answers.shift()?.()
  await nextTurn()
  t.same(asked, [
    ['a', true],
    ['a', true]
  ])
  answers.shift()?.()
  await again
})

t.test('confirm() › also what was followed while the connection was made', async (t) => {
  const asked: string[] = []
  const followed = new Followed(async (names) => void asked.push(...names))
  const first = followed.add('a')
  const second = followed.add('b')
  followed.confirm(['a', 'not followed'])
  await first
  t.equal(followed.isTold('a'), true, 'so that nothing is missing when it has come to where it was found')
  t.equal(followed.isTold('b'), false)
  followed.goOn()
  await second
  t.same(asked, ['b'])
})

t.test('a connection that breaks before it has answered keeps the next one from nothing', async (t) => {
  let asked = 0
  const followed = new Followed(() => (asked++ < 2 ? new Promise<void>(() => {}) : Promise.resolve()))
  followed.goOn()
  void followed.add('a')
  await nextTurn()
  followed.breakOff()
  followed.confirm(['a'])
  followed.goOn()
  await followed.add('b')
  t.equal(followed.isTold('b'), true)
})

t.test('isNext() › whether anything is missing', async (t) => {
  const followed = none()
  t.equal(followed.isNext('a', 1, 2), true, 'not followed')
  followed.hear('a', 1, 2)
  t.equal(followed.begin('a')(1, 1), true)
  followed.setHead('a', 9)
  t.equal(followed.headOf('a'), undefined)
  followed.goOn()
  const added = followed.add('a')
  followed.hear('a', 1, 2)
  t.equal(followed.headOf('a'), undefined, 'not told')
  await added
  t.equal(followed.isNext('a', 1, 2), true)
  followed.hear('a', 1, 2)
  t.equal(followed.isNext('a', 2, 3), true)
  followed.hear('a', 2, 3)
  t.equal(followed.isNext('a', 2, 3), true, 'told again')
  followed.hear('a', 1, 2)
  t.equal(followed.isNext('a', 4, 5), false, '4 is missing')
  t.equal(followed.headOf('a'), 3, 'from where on it is to be read')
})

t.test('begin() › whether a reading has what comes before what is told', async (t) => {
  const followed = none()
  followed.goOn()
  await followed.add('a')
  followed.hear('a', 5, 6)
  const begin = followed.begin('a')
  t.equal(begin(4, 6), false)
  t.equal(begin(5, 6), true)
  t.equal(followed.headOf('a'), 6)
  followed.setHead('a', 9)
  t.equal(begin(8, 9), false)
  t.equal(followed.headOf('a'), 9)
})

t.test('begin() › a reading that was asked for before the channel was told counts for nothing', async (t) => {
  const followed = none()
  followed.goOn()
  const notFollowed = followed.begin('a')
  const added = followed.add('a')
  const notTold = followed.begin('a')
  await added
  for (const begin of [notFollowed, notTold]) t.equal(begin(1, 1), true)
  t.equal(followed.headOf('a'), undefined)
  const givenUp = followed.begin('a')
  followed.remove('a')
  await followed.add('a')
  t.equal(givenUp(1, 1), true)
  t.equal(followed.headOf('a'), undefined)
})

t.test('a channel that got nothing for long may have been forgotten', async (t) => {
  const followed = none()
  followed.goOn()
  await followed.add('a')
  followed.setHead('a', 1)
  const day = 86_400_000_000
  t.equal(followed.isNext('a', 0, 2), false)
  t.equal(followed.begin('a')(0, 2), false)
  t.equal(followed.begin('a')(0, day), true)
  t.equal(followed.isNext('a', 0, day), true)
  followed.hear('a', 0, day)
  t.equal(followed.headOf('a'), day)
})

t.test('next() › all in turn, but for those that are not followed any more', async (t) => {
  const followed = none()
  for (const name of ['a', 'b', 'c']) void followed.add(name)
  t.same(followed.next(2), ['a', 'b'])
  followed.remove('c')
  t.same(followed.next(2), [])
  t.same(followed.next(2), ['a', 'b'])
  t.equal(followed.has('c'), false)
})
