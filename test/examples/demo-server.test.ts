import t from 'tap'
import { readEvents } from '../../lib/testing/testing.ts'
import { Child } from '../helpers/child.ts'

const DEMO = 'examples/demo/server.ts'

t.test('demo › the server', async (demo) => {
  const { child, url } = await Child.listening(demo, DEMO)

  await demo.test('reads nothing before the first viewer, and ends at Ctrl-C', async (t) => {
    const events = readEvents(await fetch(`${url}/vital-signs`), { timeoutMs: Infinity })
    const welcome = await events.next()
    t.equal(welcome.event, 'welcome')
    t.equal((await events.next()).event, 'sse-cursor')
    const vitals = await events.next()
    t.equal(vitals.event, 'vitals')
    const { time, published } = JSON.parse(vitals.data)
    t.ok(time >= JSON.parse(welcome.data).time, 'the first one is of after the first viewer came')
    t.equal(published, 0)
    t.same(await child.kill('SIGINT'), { code: 0, signal: null })
  })
})
