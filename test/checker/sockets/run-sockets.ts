import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Child } from '../../helpers/child.ts'
import type { RunLog } from '../run-log.ts'
import { Client } from './client.ts'
import { joinLogs } from './join-logs.ts'
import { CLIENTS } from './setup.ts'

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))
/** What hangs must not hang the test. */
const DEADLINE_MS = 15_000

interface Run {
  teardown(fn: () => unknown): void
}

/** A server in a process of its own, and clients that come and go for some seconds. Then all catch up and leave. */
export async function runSockets(run: Run, seconds: number, seed: number): Promise<RunLog> {
  const folder = await mkdtemp(join(tmpdir(), 'checker-'))
  run.teardown(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'server')
  const { child, url } = await Child.listening(run, SERVER, {
    CHECK_SEED: String(seed),
    SOCKET_PATH: path,
    WARM_UP_MS: String(seconds * 250)
  })
  const targets = [Number(new URL(url).port), path] as const
  const clients = Array.from({ length: CLIENTS }, (_, number) => new Client(number, seed, targets))
  const running = clients.map((client) => client.run())
  await sleep(seconds * 1_000)
  await post(`${url}/stop`)
  const late = await countLate(clients.map((client) => client.settle()))
  await Promise.all(running)
  await post(`${url}/end/0`)
  const left = clients.filter(({ number }) => number % 2 === 1).map((client) => client.leave())
  const closed = clients.map(({ streams }) => streams.at(-1)?.closed)
  const open = await countLate([...left, ...closed])
  const alive = await countLate([child.exited])
  return joinLogs(child.output, clients, {
    'clients that never catch up': late,
    'sockets that never close': open,
    'processes that never end': alive
  })
}

async function post(url: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { connection: 'close' } })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
}

/** How many have not resolved at the deadline. */
async function countLate(promises: readonly (Promise<unknown> | undefined)[]): Promise<number> {
  let late = promises.length
  const all = Promise.all(promises.map((promise) => Promise.resolve(promise).then(() => late--)))
  const deadline = new AbortController()
  const timeout = sleep(DEADLINE_MS, undefined, { signal: deadline.signal }).catch(() => {})
  await Promise.race([all, timeout])
  deadline.abort()
  return late
}
