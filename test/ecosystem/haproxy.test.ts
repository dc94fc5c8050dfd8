import t from 'tap'
import { haproxy } from '../helpers/programs/haproxy.ts'
import { until } from '../helpers/server.ts'
import { getCompressed, last, sendOneByOne, stage, testProxy, textOf } from './proxy.ts'

t.test('haproxy', async (suite) => {
  await testProxy(suite, haproxy)

  await suite.test('compresses other answers, and streams never', async (t) => {
    const types = 'compression algo gzip\n  compression type text/event-stream text/plain'
    const edits = { 'option forwardfor\n': `option forwardfor\n  ${types}\n` }
    const { proxy, streams } = await stage(t, haproxy, { edits })
    const other = await getCompressed(`${proxy.url}/other`)
    other.resume()
    t.equal(other.headers['content-encoding'], 'gzip')
    const response = await getCompressed(proxy.url)
    t.notOk(response.headers['content-encoding'])
    const text = textOf(response)
    await sendOneByOne(last(streams), (data) => until(() => text().includes(data)))
    last(streams).close()
    await until(() => response.complete)
  })
})
