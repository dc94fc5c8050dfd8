import { readFileSync } from 'node:fs'
import { type ClientRequest, get as httpGet, type IncomingMessage, type RequestOptions } from 'node:http'
import { type ClientHttp2Session, connect as http2Connect } from 'node:http2'
import { get as httpsGet } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { build } from '../../helpers/server.ts'
import { conformance, type Pipe, type Response } from './conformance.ts'

const key = readFileSync(new URL('../../fixtures/key.pem', import.meta.url))
const cert = readFileSync(new URL('../../fixtures/cert.pem', import.meta.url))

type Get = (options: RequestOptions, callback: (response: IncomingMessage) => void) => ClientRequest

function http1(get: Get, target: RequestOptions): Pipe['get'] {
  return (path) =>
    new Promise((resolve, reject) => {
      const request = get({ path, agent: false, ...target }, (response) => {
        const { statusCode = 0, headers } = response
        resolve({ status: statusCode, headers, body: response, leave: () => request.destroy() })
      })
      request.on('error', reject)
    })
}

function http2(t: Test, url: string): Pipe['get'] {
  return (path) =>
    new Promise((resolve, reject) => {
      const session: ClientHttp2Session = http2Connect(url, { ca: cert })
      session.on('error', reject)
      t.teardown(() => session.destroy())
      const stream = session.request({ ':path': path })
      stream.on('response', (headers) => {
        resolve({ status: Number(headers[':status']), headers, body: stream, leave: () => session.destroy() })
      })
    })
}

/** HTTP/1.0: no chunks, the body ends with the connection. */
function http10(port: number): Pipe['get'] {
  return (path) =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', reject)
      socket.write(`GET ${path} HTTP/1.0\r\nHost: localhost\r\n\r\n`)
      const body = new PassThrough()
      let head = ''
      socket.on('data', function onData(chunk: Buffer) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        socket.removeListener('data', onData)
        body.write(Buffer.from(head.slice(end + 4), 'latin1'))
        socket.pipe(body)
        const [status = '', ...lines] = head.slice(0, end).split('\r\n')
        const headers = Object.fromEntries(lines.map((line) => line.toLowerCase().split(': ')))
        resolve({ status: Number(status.split(' ')[1]), headers, body, leave: () => socket.destroy() })
      })
      socket.on('close', (hadError) => hadError && body.destroy(new Error('reset')))
    })
}

function inject(app: FastifyInstance): Pipe['get'] {
  return async (path): Promise<Response> => {
    const leaving = new AbortController()
    const response = await app.inject({ url: path, payloadAsStream: true, signal: leaving.signal })
    const { statusCode, headers } = response
    return { status: statusCode, headers, body: response.stream(), leave: () => leaving.abort() }
  }
}

async function portOf(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

/** The port of a server that listens when it is first asked, after its routes were added. */
function lazily(app: FastifyInstance, make: (port: number) => Pipe['get']): Pipe {
  let get: Promise<Pipe['get']> | undefined
  return {
    app,
    get: async (path) => {
      get ??= portOf(app).then(make)
      return (await get)(path)
    }
  }
}

const host = '127.0.0.1'
const https = { key, cert }

conformance(t, 'HTTP/1.1 over TCP', async (t) =>
  lazily(await build(t), (port) => http1(httpGet, { host, port }))
)

conformance(t, 'HTTP/1.1 over TLS', async (t) =>
  lazily(await build(t, {}, { https }), (port) => http1(httpsGet, { host, port, ca: cert } as RequestOptions))
)

let sockets = 0
conformance(t, 'HTTP/1.1 over a Unix socket, or a named pipe of Windows', async (t) => {
  const app = await build(t)
  const directory = process.platform === 'win32' ? '\\\\.\\pipe' : tmpdir()
  const socketPath = join(directory, `fastify-eventstream-${process.pid}-${++sockets}.sock`)
  const get = http1(httpGet, { socketPath })
  let listening: Promise<unknown> | undefined
  return {
    app,
    get: async (path) => {
      listening ??= app.listen({ path: socketPath })
      await listening
      return get(path)
    }
  }
})

conformance(t, 'HTTP/1.1 with a response that something wraps', async (t) => {
  const app = await build(t)
  app.addHook('onRequest', async (_request, { raw }) => {
    const { write } = raw
    raw.write = function (this: typeof raw, ...args: Parameters<typeof write>) {
      return write.apply(this, args)
    } as typeof write
  })
  return lazily(app, (port) => http1(httpGet, { host, port }))
})

conformance(t, 'HTTP/1.1 behind a stream that an onSend hook puts in front', async (t) => {
  const app = await build(t)
  app.addHook('onSend', async (_request, _reply, payload) =>
    payload instanceof Readable ? payload.pipe(new PassThrough()) : payload
  )
  return lazily(app, (port) => http1(httpGet, { host, port }))
})

conformance(t, 'HTTP/1.0', async (t) => ({
  ...lazily(await build(t), (port) => http10(port)),
  mayLoseLastWords: true
}))

conformance(t, 'HTTP/2 over TCP', async (t) =>
  lazily(await build(t, {}, { http2: true }), (port) => http2(t, `http://${host}:${port}`))
)

conformance(t, 'HTTP/2 over TLS', async (t) =>
  lazily(await build(t, {}, { http2: true, https }), (port) => http2(t, `https://${host}:${port}`))
)

conformance(t, 'HTTP/1.1 to a server that speaks HTTP/2', async (t) =>
  lazily(await build(t, {}, { http2: true, https: { ...https, allowHTTP1: true } }), (port) =>
    http1(httpsGet, { host, port, ca: cert } as RequestOptions)
  )
)

conformance(t, 'inject()', async (t) => {
  const app = await build(t)
  return { app, get: inject(app), tellsDelivery: false }
})
