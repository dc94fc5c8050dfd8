import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type EventReader, readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

async function startBuild(url: string): Promise<number> {
  return (await fetch(`${url}/builds`, { method: 'POST' })).status
}

async function openLog(t: Test, url: string, lastEventId = ''): Promise<EventReader> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const headers = { 'last-event-id': lastEventId }
  return readEvents(await fetch(`${url}/log`, { headers, signal: leaving.signal }), { timeoutMs: Infinity })
}

/** The numbers of the lines up to that with this text. */
async function numbersUpTo(reader: EventReader, wanted: string): Promise<number[]> {
  const numbers: number[] = []
  for (;;) {
    const { number, text } = JSON.parse((await reader.next('line')).data)
    numbers.push(number)
    if (text === wanted) return numbers
  }
}

t.test('examples › resume › the server', async (resume) => {
  const LOG_FILE = join(resume.testdir({}), 'builds.log')
  const env = { LOG_FILE, LINES: '1000000', LINE_MS: '50' }
  const { child, url } = await Child.listening(resume, 'examples/resume.ts', env)

  await resume.test('runs one build at a time, and tells its readers every line', async (t) => {
    const reader = await openLog(t, url)
    t.equal(await startBuild(url), 202)
    t.equal(await startBuild(url), 409)
    t.same(await numbersUpTo(reader, '[5/1000000] compiled lib/module-5.ts'), [1, 2, 3, 4, 5, 6])
  })

  await resume.test('goes on after the line that a reader had last', async (t) => {
    const { id } = await (await openLog(t, url)).next('line')
    const reader = await openLog(t, url, id)
    t.same(await numbersUpTo(reader, '[7/1000000] compiled lib/module-7.ts'), [2, 3, 4, 5, 6, 7, 8])
  })

  resume.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
