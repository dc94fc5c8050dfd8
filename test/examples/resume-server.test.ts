import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type EventReader, readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

async function startBuild(url: string): Promise<number> {
  return (await fetch(`${url}/builds`, { method: 'POST' })).status
}

async function openStream(t: Test, url: string, lastEventId = ''): Promise<EventReader> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const headers = { 'last-event-id': lastEventId }
  return readEvents(await fetch(url, { headers, signal: leaving.signal }), { timeoutMs: Infinity })
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
    t.equal((await fetch(`${url}/builds/1`)).status, 404)
    const builds = await openStream(t, `${url}/builds`)
    t.equal(await startBuild(url), 202)
    t.equal(await startBuild(url), 429)
    t.equal((await builds.next('build')).data, '{"build":1}')
    const reader = await openStream(t, `${url}/builds/1`)
    t.same(await numbersUpTo(reader, '[5/1000000] compiled lib/module-5.ts'), [1, 2, 3, 4, 5, 6])
  })

  await resume.test('goes on after the line that a reader had last', async (t) => {
    const { id } = await (await openStream(t, `${url}/builds/1`)).next('line')
    const reader = await openStream(t, `${url}/builds/1`, id)
    t.same(await numbersUpTo(reader, '[7/1000000] compiled lib/module-7.ts'), [2, 3, 4, 5, 6, 7, 8])
  })

  await resume.test('stops a build for all its readers', async (t) => {
    const reader = await openStream(t, `${url}/builds/1`)
    const answer = await fetch(`${url}/builds/1`, { method: 'DELETE' })
    t.same(await answer.json(), { state: 'stopped' })
    const { id, data } = await reader.next('end')
    t.equal(data, '{"state":"stopped"}')
    const again = await fetch(`${url}/builds/1`, { headers: { 'last-event-id': id } })
    t.equal(again.status, 204, 'who has all of it is told to come no more')
    t.equal((await fetch(`${url}/builds/2`, { method: 'DELETE' })).status, 404)
    t.equal(await startBuild(url), 202)
  })

  resume.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
