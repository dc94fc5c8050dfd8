import { deepEqual, equal, match, ok } from 'node:assert/strict'
import type { Place } from '../history/place.ts'
import type { StorePast } from '../history/store.ts'
import type { World } from './world.ts'

const TEXTS = ['', 'data: a\n\n', 'data: \u2028 \u{1F600} \u0000 é\n\n', `data: ${'x'.repeat(70_000)}\n\n`]

/** What every store does, by what it is called. */
export const CASES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'all who have the same messages have one epoch': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    match(one.store.epoch, /^[0-9A-Za-z]{1,16}$/)
    equal(other.store.epoch, one.store.epoch)
  },

  'places grow, in a batch, from call to call and from server to server': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    const places: Place[] = []
    for (let i = 0; i < 5; i++) {
      for (const node of [one, other]) places.push(...(await node.append(['a'], ['1', '2', '3'])).places)
    }
    equal(places.length, 30)
    assertAscending(places)
  },

  'appends take effect in the order of the calls': async (world) => {
    const node = await world.node('a')
    const texts = Array.from({ length: 100 }, (_, i) => `${i}`)
    const places = await Promise.all(texts.map((text) => node.publish('a', text)))
    assertAscending(places)
    deepEqual(textsOf(await node.store.read('a', 0)), texts)
    await node.reach(places.at(-1) as Place)
    deepEqual(node.toldOf('a'), texts)
  },

  'what was appended together stays together': async (world) => {
    const [one, other] = [await world.node('a'), await world.node('a')]
    const batches = Array.from({ length: 20 }, (_, i) => [`${i}.1`, `${i}.2`, `${i}.3`])
    await Promise.all(batches.map((texts, i) => (i % 2 === 0 ? one : other).append(['a'], texts)))
    const texts = textsOf(await one.store.read('a', 0))
    equal(texts.length, 60)
    for (let i = 0; i < texts.length; i += 3) {
      const [batch = ''] = (texts[i] as string).split('.')
      deepEqual(texts.slice(i, i + 3), batches[Number(batch)])
    }
  },

  'every message is told as it is, in order, to all who follow, also to who appended it': async (world) => {
    const nodes = [await world.node('a', 'b'), await world.node('a', 'b')] as const
    const places: Place[] = []
    for (const [i, text] of TEXTS.entries()) {
      places.push(await nodes[0].publish(i % 2 === 0 ? 'a' : 'b', text, { key: `é${i}` }))
    }
    for (const node of nodes) {
      await node.reach(places.at(-1) as Place)
      deepEqual(
        node.told.map(({ place, channels, text, key, isKept }) => ({ place, channels, text, key, isKept })),
        TEXTS.map((text, i) => ({
          place: places[i],
          channels: [i % 2 === 0 ? 'a' : 'b'],
          text,
          key: `é${i}`,
          isKept: true
        }))
      )
    }
  },

  'read() gives what one channel has after a place': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    const places: Place[] = []
    for (const text of TEXTS) {
      places.push(await one.publish('a', text))
      await one.publish('b', 'of another channel')
    }
    for (const [i, place] of [0, ...places].entries()) {
      const past = await other.store.read('a', place)
      deepEqual(textsOf(past), TEXTS.slice(i), `after message ${i}`)
      deepEqual(
        past.messages.map((message) => message.place),
        places.slice(i)
      )
      for (const { channels, key, isKept } of past.messages)
        deepEqual([channels, key, isKept], [['a'], 'k', true])
      equal(past.dropped, 0, 'nothing was dropped')
    }
  },

  'a channel that has nothing gives nothing': async (world) => {
    const node = await world.node()
    for (const after of [0, await node.publish('b', '1')]) {
      const { messages, dropped, isEnded } = await node.store.read('a', after)
      deepEqual([messages, dropped, isEnded], [[], 0, false])
    }
  },

  'toldAfter, if read() says one, is not before what was not told': async (world) => {
    const one = await world.node()
    const untold = await one.publish('a', '1')
    const other = await world.node('a')
    await other.reach(await one.publish('a', '2', { maxMessages: 1 }))
    const { toldAfter = untold } = await other.store.read('a', 0)
    ok(toldAfter >= untold)
  },

  'channels are told apart whatever their names': async (world) => {
    const names = [
      'a',
      'A',
      'a:b',
      'a*',
      '[a]',
      'ä',
      'a\u0308',
      ' ',
      'x'.repeat(256),
      '__proto__',
      '{a}',
      'a\nb'
    ]
    const node = await world.node(...names)
    let last: Place = 0
    for (const name of names) last = await node.publish(name, name)
    await node.reach(last)
    for (const name of names) {
      deepEqual(textsOf(await node.store.read(name, 0)), [name])
      deepEqual(node.toldOf(name), [name])
    }
  },

  'the newest messages that the limits allow are kept, and what was dropped is told': async (world) => {
    const node = await world.node()
    const places: Place[] = []
    for (let i = 0; i < 50; i++) places.push(await node.publish('a', `${i}`, { maxMessages: 10 }))
    const { messages, dropped } = await node.store.read('a', 0)
    ok(messages.length >= 10, `${messages.length} are kept`)
    const kept = messages.map(({ place }) => place)
    deepEqual(kept, places.slice(-messages.length))
    const newestDropped = places.at(-messages.length - 1) ?? 0
    ok(
      dropped >= newestDropped && dropped < (kept[0] as Place),
      'dropped is between what is not kept and what is'
    )
    equal((await node.store.read('a', places.at(-1) as Place)).dropped, dropped, 'wherever it is read from')
  },

  'a message of several channels has one place': async (world) => {
    const node = await world.node('a', 'b')
    const { places } = await node.append(['a', 'b', 'c'], ['1', '2'])
    equal(places.length, 2)
    for (const name of ['a', 'b', 'c']) {
      const { messages } = await node.store.read(name, 0)
      deepEqual(
        messages.map(({ place }) => place),
        places
      )
      for (const { channels } of messages) deepEqual([...channels].sort(), ['a', 'b', 'c'])
    }
    await node.reach(places.at(-1) as Place)
    deepEqual(
      node.told.map(({ place }) => place),
      places
    )
    for (const { channels } of node.told) deepEqual([...channels].sort(), ['a', 'b', 'c'])
  },

  'what is not kept is told, and not read': async (world) => {
    const node = await world.node('a')
    await node.publish('a', '1')
    const passing = await node.publish('a', '2', { isKept: false })
    const last = await node.publish('a', '3')
    await node.reach(last)
    deepEqual(
      node.told.map(({ text, isKept }) => [text, isKept]),
      [
        ['1', true],
        ['2', false],
        ['3', true]
      ]
    )
    deepEqual(textsOf(await node.store.read('a', 0)), ['1', '3'])
    equal((await node.store.read('a', passing)).dropped, 0, 'which is no loss')
  },

  'an idempotency key is used once for the same channels': async (world) => {
    const [one, other] = [await world.node('a'), await world.node('a')]
    const idempotencyKey = 'once'
    const first = await one.append(['a', 'b'], ['1', '2'], { idempotencyKey })
    equal(first.isNew, true)
    const again = await Promise.all([
      one.append(['a', 'b'], ['1', '2'], { idempotencyKey }),
      other.append(['b', 'a'], ['1', '2'], { idempotencyKey })
    ])
    for (const appended of again) deepEqual(appended, { places: first.places, isNew: false, isEnded: false })
    equal((await one.append(['a'], ['3'], { idempotencyKey })).isNew, true, 'these are other channels')
    equal((await one.append(['a', 'b'], ['4'], { idempotencyKey: 'twice' })).isNew, true)
    deepEqual(textsOf(await other.store.read('a', 0)), ['1', '2', '3', '4'])
    await other.reach(await one.publish('a', '5'))
    deepEqual(other.toldOf('a'), ['1', '2', '3', '4', '5'])
  },

  'an idempotency key is used once when several use it at a time': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    const appended = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (i % 2 ? one : other).append(['a'], ['1'], { idempotencyKey: 'k' })
      )
    )
    equal(appended.filter(({ isNew }) => isNew).length, 1)
    equal(new Set(appended.map(({ places }) => places[0])).size, 1)
  },

  'nothing comes after an end, which all who come are told': async (world) => {
    const [one, other] = [await world.node('a'), await world.node('a')]
    await one.publish('a', '1', { maxMessages: 1 })
    const end = await one.publish('a', '2', { isEnd: true })
    await other.reach(end)
    deepEqual(
      other.told.map(({ text, isEnd }) => [text, isEnd]),
      [
        ['1', false],
        ['2', true]
      ]
    )
    for (const { store } of [one, other]) {
      for (const after of [0, end]) equal((await store.read('a', after)).isEnded, true)
      deepEqual((await store.read('a', 0)).messages.at(-1)?.isEnd, true)
    }
    const late = { places: [], isNew: false, isEnded: true }
    deepEqual(await other.append(['a'], ['3']), late)
    deepEqual(await other.append(['b', 'a'], ['3']), late)
    deepEqual(await other.append(['a'], ['3'], { isEnd: true }), late)
    deepEqual(await other.append(['a'], ['3'], { isKept: false }), late)
    const { messages, dropped, isEnded } = await other.store.read('b', 0)
    deepEqual([messages, dropped, isEnded], [[], 0, false])
    equal((await other.append(['b'], ['3'])).isEnded, false, 'another channel goes on')
  },

  'clear(), if there is one, forgets a channel and its end, and tells that': async (world) => {
    const [one, other] = [await world.node(), await world.node('a')]
    if (one.store.clear === undefined) return
    await one.publish('a', '1')
    const end = await one.publish('a', '2', { isEnd: true })
    await one.store.clear('a')
    const { messages, dropped, isEnded } = await other.store.read('a', 0)
    deepEqual([messages, isEnded], [[], false])
    ok(dropped >= end, 'what was forgotten is dropped')
    const next = await one.publish('a', '3')
    await other.reach(next)
    const clears = other.told.map((message) => message.clears)
    deepEqual(textsOf(await other.store.read('a', 0)), ['3'])
    equal(other.told.filter((message) => message.clears === undefined).length, 3)
    deepEqual([clears[0], clears[1], clears[3]], [undefined, undefined, undefined])
    ok((clears[2] ?? 0) >= end && (clears[2] ?? 0) < next, 'between what is forgotten and what is not')
  },

  'only who has a lease, if there are any, appends to its channel, until that is over': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    const [leases, others] = [one.store.leases, other.store.leases]
    if (leases === undefined || others === undefined) return
    const note = 'a note\n\n'
    const take = (token: string): Promise<Place | undefined> =>
      leases.take('a', { token, ms: 60_000, note }, undefined)
    const begins = await Promise.all([
      take('x1'),
      others.take('a', { token: 'x2', ms: 60_000, note }, undefined)
    ])
    const [token, wrong] = begins[0] === undefined ? ['x2', 'x1'] : ['x1', 'x2']
    const [place = 0, ...more] = begins.filter((begin) => begin !== undefined)
    deepEqual(more, [], 'one of those who take it at once has it')
    const refused = { places: [], isNew: false, isEnded: true }
    deepEqual(await one.append(['a'], ['0']), refused)
    deepEqual(await one.append(['a'], ['0'], { token: wrong }), refused)
    deepEqual(await one.append(['b'], ['0'], { token }), refused, 'it has no lease on that one')
    const after = await other.publish('a', '1', { token, after: place })
    ok(after > place)
    deepEqual(await one.append(['a'], ['2'], { token, after: after + 1 }), refused, 'it has lost that')
    const lease = { channel: 'a', place, note }
    deepEqual(await others.look('a'), { lease })
    deepEqual(await others.list(), [lease])
    deepEqual(await others.takeOver('x3', 60_000), [], 'it is not over')
    const both = [token, wrong].map((one) => ({ channel: 'a', token: one }))
    deepEqual(await leases.renew(both, 1), [0, undefined])
    let taken = await others.takeOver('x3', 60_000)
    while (taken.length === 0) taken = await others.takeOver('x3', 60_000)
    deepEqual(taken, [lease])
    deepEqual(await one.append(['a'], ['0'], { token }), refused, 'its time is over')
    deepEqual(await leases.renew(both, 60_000), [undefined, undefined])
    const end = await one.publish('a', '2', { token: 'x3', isEnd: true })
    const { lease: none, end: last } = await leases.look('a')
    deepEqual([none, last?.text, last?.place], [undefined, '2', end])
    equal(await take('x4'), undefined, 'its end is kept')
    ok(((await leases.take('a', { token: 'x4', ms: 60_000, note }, end)) ?? 0) > end)
    deepEqual(textsOf(await other.store.read('a', 0)), [], 'it begins anew')
    equal((await leases.list()).length, 1)
  },

  'head() is at or after all that was appended': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    for (let i = 0; i < 5; i++) {
      const place = await one.publish('a', `${i}`)
      ok((await other.store.head()) >= place)
    }
    const head = await other.store.head()
    ok((await one.publish('a', 'later')) > head, 'and before all that comes')
  },

  'open() resolves with a place at or after all that was there': async (world) => {
    const place = await (await world.node()).publish('a', '1')
    const node = await world.node('a')
    ok(node.upTo >= place)
    const later = await node.publish('a', '2')
    await node.reach(later)
    deepEqual(node.toldOf('a'), ['2'], 'which is not told')
  },

  'prove() knows the places that were given, and no later ones': async (world) => {
    const [one, other] = [await world.node(), await world.node()]
    const places = [await one.publish('a', '1'), await other.publish('b', '2')]
    for (const { store } of [one, other]) {
      deepEqual(await store.prove([...places, (places[1] as Place) + 3_600_000_000]), [true, true, false])
      deepEqual(await store.prove([await store.head()]), [true])
      deepEqual(await store.prove([]), [])
    }
  },

  'prove() knows places whose messages were dropped': async (world) => {
    const node = await world.node()
    const places: Place[] = []
    for (let i = 0; i < 20; i++) places.push(await node.publish('a', `${i}`, { maxMessages: 1 }))
    ok((await node.store.prove(places)).every((isKnown) => isKnown))
  },

  'who follows and then reads misses nothing that is appended meanwhile': async (world) => {
    const [publisher, node] = [await world.node(), await world.node()]
    const texts = Array.from({ length: 200 }, (_, i) => `${i}`)
    const published = (async () => {
      let last: Place = 0
      for (const text of texts) last = await publisher.publish('a', text)
      return last
    })()
    await node.store.follow?.('a')
    const { messages } = await node.store.read('a', 0)
    await node.reach(await published)
    const past = messages.at(-1)?.place ?? 0
    const live = node.told.filter(({ place }) => place > past)
    deepEqual(
      [...messages, ...live].map(({ text }) => text),
      texts
    )
  },

  'what read() gave is told to be all that there is up to it': async (world) => {
    const [publisher, node] = [await world.node(), await world.node()]
    const place = await publisher.publish('a', '1')
    await node.store.follow?.('a')
    deepEqual(textsOf(await node.store.read('a', 0)), ['1'])
    await node.reach(place)
  },

  'who does not follow any more can follow again': async (world) => {
    const [publisher, node] = [await world.node(), await world.node('a', 'b')]
    node.store.unfollow?.('a')
    await publisher.publish('a', '1')
    await node.store.follow?.('a')
    const last = await publisher.publish('a', '2')
    await node.reach(last)
    equal(node.toldOf('a').at(-1), '2')
  },

  'nothing is told to who has closed': async (world) => {
    const [one, other] = [await world.node('a'), await world.node('a')]
    other.isClosed = true
    await other.store.close()
    await one.reach(await one.publish('a', '1'))
    deepEqual(one.toldOf('a'), ['1'])
  }
}

function textsOf({ messages }: StorePast): string[] {
  return messages.map(({ text }) => text)
}

function assertAscending(places: readonly Place[]): void {
  for (const [i, place] of places.entries()) {
    ok(Number.isSafeInteger(place) && place > 0, `a place is a positive safe integer, and not ${place}`)
    if (i > 0) ok(place > (places[i - 1] as Place), 'places grow')
  }
}
