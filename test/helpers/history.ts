import assert from 'node:assert/strict'
import type { Cursor, History, Log, LoggedFrame, LogListener, ReadLimits } from '../../lib/history/history.ts'

/** Limits that let everything through. */
export const ALL: ReadLimits = { maxBytes: Infinity, idBytes: 0, before: Infinity, isLatestOnly: false }

/** Counts how often it was told. */
export class Ear implements LogListener {
  told = 0

  logOnAppend(): void {
    this.told++
  }
}

export function frame(text: string): { text: string; byteLength: number } {
  return { text, byteLength: Buffer.byteLength(text) }
}

/** The text of message `n`. */
export function textOf(n: number): string {
  return `data: ${n}\n\n`
}

/** The texts of messages `start` to `end - 1`. */
export function numbered(start: number, end: number): string[] {
  return Array.from({ length: end - start }, (_, i) => textOf(start + i))
}

export function texts(frames: readonly { readonly text: string }[]): string[] {
  return frames.map(({ text }) => text)
}

export function cursors(frames: readonly { readonly cursor: Cursor }[]): Cursor[] {
  return frames.map(({ cursor }) => cursor)
}

/** Appends messages `start`, `start + 1` and so on, each when the one before has its cursor. */
export async function fill(history: History, channel: string, count: number, start = 0): Promise<Cursor[]> {
  const given: Cursor[] = []
  for (let n = start; n < start + count; n++) given.push(await history.append(channel, frame(textOf(n)), ''))
  return given
}

/** What comes after a cursor, page by page, until there is no more. */
export async function readAll(
  log: Log,
  after: Cursor,
  limits: Partial<ReadLimits> = {}
): Promise<LoggedFrame[]> {
  const frames: LoggedFrame[] = []
  const places = new Set<Cursor>()
  for (let place = after; ; ) {
    assert.ok(!places.has(place), `a page leads back to ${place}`)
    places.add(place)
    const page = await log.read(place, { ...ALL, ...limits })
    assert.ok(page.complete, `there is a gap after ${place}`)
    frames.push(...page.frames)
    if (page.cursor === place) return frames
    place = page.cursor
  }
}

/** What is kept of a channel, read by somebody who comes for it and leaves. */
export async function readKept(history: History, channel: string): Promise<LoggedFrame[]> {
  const log = await history.follow(channel, new Ear())
  const frames = await readAll(log, await log.oldest)
  await log.close()
  return frames
}

/** Why there is a gap after a cursor; `undefined` if there is none. */
export async function gapAfter(log: Log, cursor: Cursor): Promise<string | undefined> {
  const page = await log.read(cursor, ALL)
  if (page.complete) return undefined
  assert.deepEqual(page.frames, [], 'a gap comes without frames')
  return page.reason
}
