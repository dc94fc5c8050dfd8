import t from 'tap'
import { readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

t.test('examples › hello', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/hello.ts')

  await t.test('ticks, each time with a later time', async (t) => {
    const left = new AbortController()
    const response = await fetch(`${url}/clock`, { signal: left.signal })
    t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const times: number[] = []
    for await (const { event, data } of readEvents(response)) {
      t.equal(event, 'tick')
      if (times.push(Date.parse(JSON.parse(data).now)) === 2) break
    }
    const [first = Number.NaN, second = Number.NaN] = times
    t.ok(second > first)
    left.abort()
    await child.until(/"reason":"client"/)
  })

  await t.test('has a page that listens to the clock', async (t) => {
    const response = await fetch(url)
    t.equal(response.headers.get('content-type'), 'text/html; charset=utf-8')
    t.match(await response.text(), "new EventSource('/clock')")
  })

  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
