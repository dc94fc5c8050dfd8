import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { createInterface } from 'node:readline'

const MISSING = `This example needs Redis 6.2 or later, or Valkey. Install one, for example with

  apt-get install redis-server
  brew install redis

or say where one runs:

  REDIS_URL=redis://localhost:6379 npx tsx examples/many-nodes.ts`

interface OwnRedis {
  readonly pid: number | undefined
  readonly url: string
  stop(): Promise<void>
}

/** Starts a Redis that keeps nothing on disk, on a free port, and ends with this process. */
export async function startRedis(): Promise<OwnRedis> {
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  // Detached, so that Ctrl-C does not end it before the nodes.
  const redis = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  try {
    await once(redis, 'spawn')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    console.error(MISSING)
    process.exit(1)
  }
  process.once('exit', () => redis.kill('SIGKILL'))
  let output = ''
  for await (const line of createInterface(redis.stdout)) {
    output += `${line}\n`
    if (line.includes('Ready to accept connections')) break
  }
  if (!output.includes('Ready to accept connections')) throw new Error(`redis-server has ended:\n${output}`)
  redis.stdout.resume()
  return { pid: redis.pid, url: `redis://127.0.0.1:${port}`, stop }

  async function stop(): Promise<void> {
    if (redis.kill('SIGTERM')) await once(redis, 'exit')
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
