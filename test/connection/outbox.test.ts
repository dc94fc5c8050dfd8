import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Outbox } from '../../lib/connection/outbox.ts'
import { PIECE_BYTES } from '../../lib/wire/batch.ts'
import type { Frame } from '../../lib/wire/frame.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

function frame(text: string): Frame {
  return { text, byteLength: Buffer.byteLength(text) }
}

/** Takes a piece as a transport does: a string is ASCII, and its length is its size. */
function take(outbox: Outbox): Buffer {
  const before = outbox.byteLength
  const piece = outbox.take()
  assert.ok(piece.length > 0, 'a piece has bytes')
  assert.ok(piece.length <= PIECE_BYTES, 'a piece has at most 64 KiB')
  assert.equal(outbox.byteLength, before - piece.length, 'what has left is no longer counted')
  const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : Buffer.from(piece)
  if (typeof piece === 'string') assert.match(piece, /^\p{ASCII}+$/u)
  new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  return bytes
}

function takeAll(outbox: Outbox): Buffer[] {
  const pieces: Buffer[] = []
  while (!outbox.isEmpty) pieces.push(take(outbox))
  return pieces
}

function nameOf(character: string): string {
  return `U+${character.codePointAt(0)?.toString(16).padStart(4, '0')}`
}

t.test('outbox', async (t) => {
  t.test('a new one is empty', async (t) => {
    const outbox = new Outbox()
    t.equal(outbox.isEmpty, true)
    t.equal(outbox.byteLength, 0)
  })

  t.test('frames of one turn leave as one piece, in order', async (t) => {
    const outbox = new Outbox()
    outbox.append(frame('a'))
    outbox.append(frame('b'))
    t.equal(outbox.isEmpty, false)
    t.equal(outbox.byteLength, 2)
    t.equal(outbox.take(), 'ab')
    t.equal(outbox.isEmpty, true)
    t.equal(outbox.byteLength, 0)
    outbox.append(frame('c'))
    t.equal(outbox.take(), 'c', 'and later ones as the next')
  })

  t.test('text leaves as a string only if it is ASCII', async (t) => {
    const outbox = new Outbox()
    outbox.append(frame('\0\x7f'))
    t.equal(outbox.take(), '\0\x7f')
    outbox.append(frame('x'.repeat(PIECE_BYTES)))
    t.type(outbox.take(), 'string', 'also a whole piece')
    for (const text of ['\x80', 'ü', '\u2028', '\ufeff', '😀']) {
      outbox.append(frame('a'))
      outbox.append(frame(text))
      t.same(outbox.take(), Buffer.from(`a${text}`), nameOf(text))
      t.equal(outbox.isEmpty, true)
    }
  })

  t.test('a piece has at most 64 KiB', async (t) => {
    for (const [size, ...pieces] of [
      [PIECE_BYTES - 1, PIECE_BYTES - 1],
      [PIECE_BYTES, PIECE_BYTES],
      [PIECE_BYTES + 1, PIECE_BYTES, 1],
      [PIECE_BYTES * 2, PIECE_BYTES, PIECE_BYTES],
      [PIECE_BYTES * 2 + 5, PIECE_BYTES, PIECE_BYTES, 5]
    ]) {
      const outbox = new Outbox()
      outbox.append(frame('x'.repeat(size ?? 0)))
      t.equal(outbox.byteLength, size)
      t.same(
        takeAll(outbox).map((piece) => piece.length),
        pieces,
        `${size} bytes`
      )
      t.equal(outbox.byteLength, 0)
    }
  })

  t.test('a piece is never cut inside a character', async (t) => {
    for (const [character, offset] of [
      ['ü', 1],
      ['\u2028', 1],
      ['\u2028', 2],
      ['😀', 1],
      ['😀', 2],
      ['😀', 3]
    ] as const) {
      const outbox = new Outbox()
      const text = `${'x'.repeat(PIECE_BYTES - offset)}${character}y`
      outbox.append(frame(text))
      const sizes = takeAll(outbox).map((piece) => piece.length)
      t.same(
        sizes,
        [PIECE_BYTES - offset, Buffer.byteLength(character) + 1],
        `${nameOf(character)} after ${offset}`
      )
    }
  })

  t.test('what is appended while pieces are left comes after them', async (t) => {
    const outbox = new Outbox()
    outbox.append(frame('x'.repeat(PIECE_BYTES + 3)))
    t.equal(take(outbox).length, PIECE_BYTES)
    outbox.append(frame('yz'))
    t.equal(outbox.byteLength, 5)
    t.equal(take(outbox).toString(), 'xxx')
    t.equal(outbox.byteLength, 2)
    t.equal(outbox.isEmpty, false)
    t.equal(outbox.take(), 'yz')
    t.equal(outbox.isEmpty, true)
  })

  t.test('appendAfter › tells what has to be written first', async (t) => {
    const outbox = new Outbox()
    t.equal(outbox.place, 0, 'nothing has')
    outbox.appendAfter(7, frame('a'))
    t.equal(outbox.place, 7)
    outbox.append(frame('b'))
    t.equal(outbox.byteLength, 2)
    t.equal(outbox.take(), 'ab')
    t.equal(outbox.isEmpty, true)
    outbox.appendAfter(9, frame('c'))
    t.equal(outbox.place, 9)
    t.equal(outbox.take(), 'c')
  })

  t.test('appendAfter › each stretch waits for its own place', async (t) => {
    const outbox = new Outbox()
    outbox.append(frame('a'))
    outbox.appendAfter(3, frame('b'))
    outbox.append(frame('ü'))
    outbox.appendAfter(5, frame('d'))
    outbox.append(frame('e'))
    const taken: [number, number, string][] = []
    while (!outbox.isEmpty) taken.push([outbox.byteLength, outbox.place, take(outbox).toString()])
    t.same(taken, [
      [6, 0, 'a'],
      [5, 3, 'bü'],
      [2, 5, 'de']
    ])
    t.equal(outbox.byteLength, 0)
    outbox.append(frame('f'))
    t.equal(outbox.take(), 'f', 'and then it goes on as before')
  })

  t.test('appendAfter › what waits for the same place leaves together', async (t) => {
    const outbox = new Outbox()
    outbox.appendAfter(1, frame('a'))
    outbox.appendAfter(1, frame('b'))
    outbox.appendAfter(2, frame('c'))
    outbox.appendAfter(2, frame('d'))
    t.equal(outbox.byteLength, 4)
    t.equal(outbox.take(), 'ab')
    t.equal(outbox.take(), 'cd')
  })

  t.test('appendAfter › the next stretch begins when the last piece of this one has left', async (t) => {
    const outbox = new Outbox()
    outbox.appendAfter(1, frame('x'.repeat(PIECE_BYTES + 1)))
    outbox.appendAfter(2, frame('y'))
    t.equal(take(outbox).length, PIECE_BYTES)
    t.equal(outbox.place, 1)
    outbox.append(frame('z'))
    t.equal(take(outbox).toString(), 'x')
    t.equal(outbox.place, 2)
    t.equal(take(outbox).toString(), 'yz')
  })

  t.test(`appendAfter › stretches keep their order and their places (FC_SEED=${seed})`, async (t) => {
    t.comment(`FC_SEED=${seed}`)
    const text = fc.tuple(fc.constantFrom('x', 'ü', '😀'), fc.constantFrom(1, 2, 40_000))
    const step = fc.oneof(
      fc.tuple(fc.constant('append' as const), text),
      fc.tuple(fc.constant('after' as const), text),
      fc.tuple(fc.constant('take' as const), text)
    )
    const property = fc.property(fc.array(step, { maxLength: 20, size: 'max' }), (steps) => {
      const outbox = new Outbox()
      const stretches: { place: number; text: string }[] = []
      const takeOne = (): void => {
        const [first] = stretches
        assert.ok(first !== undefined)
        assert.equal(outbox.place, first.place)
        const taken = take(outbox).toString()
        assert.ok(first.text.startsWith(taken))
        first.text = first.text.slice(taken.length)
        if (first.text === '') stretches.shift()
      }
      let place = 0
      for (const [n, [what, [character, times]]] of steps.entries()) {
        const text = character.repeat(times)
        const last = stretches.at(-1)
        if (what === 'take') {
          if (last !== undefined) takeOne()
        } else if (what === 'after') {
          place = n + 1
          outbox.appendAfter(place, frame(text))
          stretches.push({ place, text })
        } else {
          outbox.append(frame(text))
          if (last === undefined) stretches.push({ place, text })
          else last.text += text
        }
        assert.equal(outbox.isEmpty, stretches.length === 0)
        assert.equal(outbox.byteLength, Buffer.byteLength(stretches.map(({ text }) => text).join('')))
      }
      while (stretches.length > 0) takeOne()
      assert.ok(outbox.isEmpty)
    })
    fc.assert(property, { seed, numRuns: 60 })
    t.pass()
  })

  t.test(`what is taken is what was appended (FC_SEED=${seed})`, async (t) => {
    t.comment(`FC_SEED=${seed}`)
    const part = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 5 }),
      fc.constantFrom('x', 'ü', '\u2028', '😀')
    )
    const repeats = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40_000 }))
    const text = fc.tuple(part, repeats).map(([part, times]) => part.repeat(times))
    const step = fc.oneof({ arbitrary: text, weight: 2 }, { arbitrary: fc.constant(undefined), weight: 3 })
    const property = fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const outbox = new Outbox()
      const taken: Buffer[] = []
      for (const text of steps) {
        if (text !== undefined) outbox.append(frame(text))
        else if (!outbox.isEmpty) taken.push(take(outbox))
      }
      taken.push(...takeAll(outbox))
      const appended = steps.filter((text) => text !== undefined).join('')
      assert.ok(Buffer.concat(taken).equals(Buffer.from(appended)))
      assert.equal(outbox.byteLength, 0)
    })
    fc.assert(property, { seed, numRuns: 100 })
    t.pass()
  })
})
