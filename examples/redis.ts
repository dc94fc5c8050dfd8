import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

const PATIENCE_MS = 3_000

let url: Promise<string> | undefined

/**
 * `REDIS_URL`, or else that of a `redis-server` of our own, which ends with this process: one for all who ask.
 *
 * @throws Error if there is neither, or nothing answers there.
 */
export function redisUrl(): Promise<string> {
  const { REDIS_URL = '' } = process.env
  url ??= REDIS_URL === '' ? startRedis() : answering(REDIS_URL)
  return url
}

async function answering(url: string): Promise<string> {
  try {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port) || 6379, hostname)
    await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) }).finally(() =>
      socket.destroy()
    )
  } catch (cause) {
    throw new Error('Needs a Redis, but there is none at REDIS_URL', { cause })
  }
  return url
}

/** Who connects waits until it answers. */
async function startRedis(): Promise<string> {
  const port = await freePort()
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '']
  const redis = spawn('redis-server', args, { stdio: 'ignore' })
  try {
    await once(redis, 'spawn')
  } catch (cause) {
    throw new Error('Needs a redis-server: install it, or set REDIS_URL', { cause })
  }
  redis.unref()
  process.once('exit', () => redis.kill())
  return `redis://127.0.0.1:${port}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
