import { createGunzip } from 'node:zlib'
import t from 'tap'
import { nginx } from '../helpers/programs/nginx.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { until } from '../helpers/server.ts'
import { EVENTS, getCompressed, last, sendOneByOne, stage, testProxy, textOf } from './proxy.ts'

t.test('nginx', async (suite) => {
  await testProxy(suite, nginx)

  await suite.test('holds no event back that it compresses', async (t) => {
    const edits = {
      'proxy_pass http://app;': 'proxy_pass http://app; gzip on; gzip_types text/event-stream;'
    }
    const { proxy, streams } = await stage(t, nginx, { edits })
    const response = await getCompressed(proxy.url)
    t.equal(response.headers['content-encoding'], 'gzip')
    const text = textOf(response.pipe(createGunzip()))
    await sendOneByOne(last(streams), (data) => until(() => text().includes(data)))
    last(streams).close()
    await until(() => response.complete)
  })

  await suite.test('would hold events back without the header that every stream has', async (t) => {
    const ignoring = 'proxy_pass http://app; proxy_ignore_headers X-Accel-Buffering;'
    const ways: Record<string, Record<string, string>> = {
      'those that it compresses': {
        'proxy_pass http://app;': `${ignoring} gzip on; gzip_types text/event-stream;`
      },
      'those that it asks for by HTTP/1.0, as older versions do by default': {
        'proxy_pass http://app;': ignoring,
        'proxy_http_version 1.1;': ''
      }
    }
    for (const [way, edits] of Object.entries(ways)) {
      const { proxy, streams } = await stage(t, nginx, { edits })
      const client = RawClient.get(proxy.port, '/', { 'Accept-Encoding': 'gzip' })
      await until(() => streams.length === 1)
      await last(streams).send('second')
      for (let i = 0; i < EVENTS; i++) await (await fetch(`${proxy.url}/other`)).text()
      t.equal(client.body, '', way)
      last(streams).close()
      await until(() => client.body !== '')
      client.socket.destroy()
    }
  })
})
