import t from 'tap'
import { readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

t.test('examples › nestjs', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/nestjs/main.ts')

  await t.test('streams from a controller', async (t) => {
    const left = new AbortController()
    const response = await fetch(`${url}/clock`, { signal: left.signal })
    t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    t.equal((await readEvents(response).next()).event, 'tick')
    left.abort()
  })

  await t.test('sends what was sent before the handler failed, and lets Nest log the error', async (t) => {
    const events = await readEvents(await fetch(`${url}/broken`)).rest()
    t.same(
      events.map(({ data }) => data),
      ['half']
    )
    await child.until(/the clock stands still/)
  })

  await t.test('ends its streams when Nest is told to stop', async (t) => {
    const events = readEvents(await fetch(`${url}/clock`))
    await events.next()
    child.kill('SIGTERM')
    await events.rest()
    t.ok(Number(events.retryMs) >= 1000)
    await child.exited
  })
})
