import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from '../../helpers/child.ts'
import { removeFolder, temporaryFolder } from '../../helpers/guardian.ts'
import type { RunLog } from '../run-log.ts'
import { Client } from './client.ts'
import { joinLogs } from './join-logs.ts'
import { CLIENTS } from './setup.ts'

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))

interface Run {
  teardown(fn: () => unknown): void
}

interface Settings {
  /** Of all random choices. */
  readonly seed: number
  /** Resolves when enough has happened. */
  readonly enough: (clients: readonly Client[]) => Promise<unknown>
  /** How many messages are published before memory must not grow any more. */
  readonly warmUpMessages: number
}

/** A server in a process of its own, and clients that come and go. Then all catch up and leave. */
export async function runSockets(run: Run, { seed, enough, warmUpMessages }: Settings): Promise<RunLog> {
  const folder = temporaryFolder('checker')
  run.teardown(() => removeFolder(folder))
  const path = join(folder, 'server')
  const { child, url } = await Child.listening(run, SERVER, {
    CHECK_SEED: String(seed),
    SOCKET_PATH: path,
    WARM_UP_MESSAGES: String(warmUpMessages)
  })
  const targets = [Number(new URL(url).port), path] as const
  const clients = Array.from({ length: CLIENTS }, (_, number) => new Client(number, seed, targets))
  const running = clients.map((client) => client.run(clients))
  await enough(clients)
  await post(`${url}/stop`)
  await Promise.all(clients.map((client) => client.settle()))
  await Promise.all(running)
  await post(`${url}/end/0`)
  await Promise.all(clients.filter(({ number }) => number % 2 === 1).map((client) => client.leave()))
  await Promise.all(clients.map(({ streams }) => streams.at(-1)?.closed))
  await child.exited
  return joinLogs(child.output, clients)
}

async function post(url: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { connection: 'close' } })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
}
