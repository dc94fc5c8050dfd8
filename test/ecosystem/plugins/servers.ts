import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Row } from '../row.ts'
import { TLS } from '../stream-client.ts'

/** So that no timeout of the server ends the stream's connection all the same. */
const FOREVER_MS = 2 ** 31 - 1

const scopesRow: Row = {
  name: 'two scopes',
  shows: 'is served in each, with the prefix and the hooks of its own, where it is registered in both',
  isFor: ({ isPlugin }) => isPlugin,
  async run(stage) {
    const app = stage.server()
    for (const scope of ['a', 'b']) {
      const addScope = async (inner: FastifyInstance): Promise<void> => {
        await stage.contestant.register(inner)
        inner.addHook('onRequest', async (_request, reply) => {
          reply.header(`x-scope-${scope}`, 'yes')
        })
        stage.addStream(inner)
      }
      app.register(addScope, { prefix: `/${scope}` })
    }
    const url = await stage.listen(app)
    const [a, b] = [await stage.open(`${url}/a/events`), await stage.open(`${url}/b/events`)]
    assert.deepEqual([a.headers['x-scope-a'], a.headers['x-scope-b']], ['yes', undefined])
    assert.deepEqual([b.headers['x-scope-a'], b.headers['x-scope-b']], [undefined, 'yes'])
  }
}

const serverFactoryRow: Row = {
  name: '`serverFactory`',
  shows: 'is served by a server that the application made',
  async run(stage) {
    const server = createServer()
    const app = await stage.build(() => {}, {
      serverFactory: (handler) => server.on('request', handler)
    })
    stage.addStream(app)
    await stage.open(`${await stage.listen(app)}/events`)
    assert.equal(app.server, server)
  }
}

const httpsRow: Row = {
  name: '`https`',
  shows: 'is served over TLS',
  async run(stage) {
    const app = await stage.build(() => {}, { https: TLS })
    stage.addStream(app)
    const url = await stage.listen(app)
    assert.match(url, /^https:/)
    await stage.open(`${url}/events`)
  }
}

const http2Row: Row = {
  name: '`http2` with `allowHTTP1`',
  shows: 'is served over both at the same time',
  async run(stage) {
    const app = await stage.build(() => {}, { http2: true, https: { ...TLS, allowHTTP1: true } })
    const versions: string[] = []
    const streams = stage.addStream(app, { before: ({ raw }) => void versions.push(raw.httpVersion) })
    const url = `${await stage.listen(app)}/events`
    const clients = [await stage.open2(url), await stage.open(url)]
    assert.deepEqual(versions, ['2.0', '1.1'])
    await Promise.all(streams.map((stream) => stream.send('later')))
    await Promise.all(clients.map((client) => client.until('later')))
  }
}

const closeRow: Row = {
  name: '`app.close()`',
  shows: 'is ended when the server closes, and does not hold it up',
  async run(stage) {
    const app = await stage.build(() => {}, { keepAliveTimeout: FOREVER_MS })
    stage.addStream(app)
    const client = await stage.open(`${await stage.listen(app)}/events`)
    await Promise.all([app.close(), client.ended])
  }
}

export const serverRows: readonly Row[] = [scopesRow, serverFactoryRow, httpsRow, http2Row, closeRow]
