import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

let url: Promise<string> | undefined

/**
 * `REDIS_URL`, or else that of a `redis-server` of our own, which ends with this process: one for all who ask.
 *
 * @throws Error if there is neither.
 */
export function redisUrl(): Promise<string> {
  const { REDIS_URL = '' } = process.env
  url ??= REDIS_URL === '' ? startRedis() : Promise.resolve(REDIS_URL)
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
