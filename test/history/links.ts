import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { Redis, type RedisOptions } from 'ioredis'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { createIORedis } from '../../lib/history/redis/ioredis.ts'
import {
  type Dial,
  dialClient,
  dialUrl,
  type LinkListener,
  type RedisClient
} from '../../lib/history/redis/redis-link.ts'
import { deferred } from '../helpers/server.ts'

/** What a client connects to, and how; the same for both libraries. */
export interface Target {
  readonly port?: number
  readonly path?: string
  readonly username?: string
  readonly password?: string
  readonly database?: number
  readonly tls?: { readonly ca: Buffer; readonly servername: string }
}

export interface Row {
  readonly name: string
  dial(target: Target, timeoutMs?: number): Dial
}

type None = Record<never, never>
type NodeRedisOptions = NonNullable<Parameters<typeof createClient<None, None, None, 2 | 3>>[0]>
export type IORedisOptions = RedisOptions & { readonly replyMapping?: 'legacy' | 'resp3' }

export function nodeRedis(
  { tls, port = 0, path, ...target }: Target,
  options: NodeRedisOptions = {}
): RedisClient {
  const place = path === undefined ? { host: '127.0.0.1', port } : { path, tls: false as const }
  const socket = tls === undefined ? place : { ...place, ...tls, tls: true as const }
  return createClient({ ...target, ...options, socket: { ...options.socket, ...socket } })
}

function ioredis({ database, ...target }: Target, options: IORedisOptions = {}): RedisClient {
  const db = database === undefined ? {} : { db: database }
  return new Redis({ host: '127.0.0.1', ...target, ...db, ...options, lazyConnect: true })
}

/** After which time whatever the spoilt options set off has gone off. */
export const SPOILT_MS = 20

/** Everything that could spoil a link. */
const SPOILT_NODE_REDIS: NodeRedisOptions = {
  RESP: 3,
  keyPrefix: 'spoilt:',
  pingInterval: 1,
  commandsQueueMaxLength: 1,
  commandOptions: { timeout: 1, typeMapping: { 36: Buffer, 58: String } },
  emitInvalidate: true,
  socket: { reconnectStrategy: 1, socketTimeout: SPOILT_MS }
}
const SPOILT_IOREDIS: IORedisOptions = {
  keyPrefix: 'spoilt:',
  retryStrategy: () => 1,
  reconnectOnError: () => 2,
  enableOfflineQueue: true,
  autoResubscribe: true,
  autoResendUnfulfilledCommands: true,
  maxRetriesPerRequest: 1,
  enableAutoPipelining: true,
  stringNumbers: true,
  replyMapping: 'resp3',
  showFriendlyErrorStack: true,
  commandTimeout: 1,
  blockingTimeout: 1,
  socketTimeout: SPOILT_MS
}

/** A link of each library and protocol. */
export const clientRows: readonly Row[] = [
  clients('node-redis, RESP 2', (target) => nodeRedis(target, { RESP: 2 })),
  clients('node-redis, RESP 3', (target) => nodeRedis(target, { RESP: 3 })),
  clients('node-redis, spoilt', (target) => nodeRedis(target, SPOILT_NODE_REDIS)),
  clients('ioredis, RESP 2', (target) => ioredis(target, { protocol: 2 })),
  clients('ioredis, RESP 3', (target) => ioredis(target, { protocol: 3 })),
  clients('ioredis, spoilt', (target) => ioredis(target, SPOILT_IOREDIS))
]
/** Each way to make one. What a URL leads to, once it is made, is one of the others. */
export const rows: readonly Row[] = [
  ...clientRows,
  { name: 'URL, node-redis', dial: (target, timeoutMs) => dialUrl(url(target), timeoutMs) },
  { name: 'URL, ioredis', dial: (target, timeoutMs) => dialUrl(url(target), timeoutMs, [createIORedis]) }
]

function clients(name: string, create: (target: Target) => RedisClient): Row {
  return { name, dial: (target, timeoutMs) => dialClient(create(target), timeoutMs) }
}

function url({ port, username = '', password = '', database = 0 }: Target): string {
  return `redis://${username}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
}

/** Keeps what it is told. */
export class Recorder implements LinkListener {
  readonly messages: [string, string][] = []
  readonly losses: Error[] = []

  linkOnMessage(name: string, body: string): void {
    this.messages.push([name, body])
  }

  linkOnLost(error: Error): void {
    this.losses.push(error)
  }
}

/** A server on a free port that does with its connections what `serve` does. */
export async function serving(
  t: Test,
  serve: (socket: Socket) => void,
  server: Server = createServer()
): Promise<number> {
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Says OK to everything. `asked` is all that it was asked so far. */
export async function agreeable(t: Test): Promise<{ port: number; asked: () => string }> {
  let asked = ''
  const port = await serving(t, (socket) => {
    socket.setEncoding('latin1').on('data', (text: string) => {
      asked += text
      for (const command of text.split('*').slice(1)) {
        socket.write(/hello/i.test(command) ? '%0\r\n' : '+OK\r\n')
      }
    })
  })
  return { port, asked: () => asked }
}

/** Accepts connections, and says nothing. `asked` and `left` resolve when a client has sent something, and has closed one. */
export async function silent(t: Test): Promise<{ port: number; asked: Promise<void>; left: Promise<void> }> {
  const [asked, left] = [deferred(), deferred()]
  const port = await serving(t, (socket) => {
    socket.on('data', () => asked.resolve()).on('close', () => left.resolve())
  })
  return { port, asked: asked.promise, left: left.promise }
}

export function sentinelClient(
  ports: readonly { port: number }[],
  options: IORedisOptions = {}
): RedisClient {
  const sentinels = ports.map(({ port }) => ({ host: '127.0.0.1', port }))
  return new Redis({ sentinels, name: 'main', lazyConnect: true, ...options })
}

/** A Sentinel that always names the Redis on this port as the master. */
export async function sentinelOf(t: Test, port: number): Promise<{ port: number; open: Set<Socket> }> {
  const open = new Set<Socket>()
  const answers: Record<string, string> = {
    hello: '-NOPROTO unsupported protocol version\r\n',
    client: '+OK\r\n',
    'get-master-addr-by-name': `*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`,
    sentinels: '*0\r\n'
  }
  const ownPort = await serving(t, (socket) => {
    open.add(socket.on('close', () => open.delete(socket)))
    socket.setEncoding('latin1').on('data', (text: string) => {
      for (const word of text.toLowerCase().split('\r\n')) socket.write(answers[word] ?? '')
    })
  })
  return { port: ownPort, open }
}

/** Resolves when whatever was set to go off within so many milliseconds has gone off: timeouts, and those of sockets. */
export async function timersUpTo(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
  const socket = new Socket().setTimeout(ms)
  await once(socket, 'timeout')
  socket.destroy()
}

export const libraries = [
  { name: 'node-redis', create: nodeRedis },
  { name: 'ioredis', create: ioredis }
]

export function fixture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/${name}.pem`, import.meta.url))
}
