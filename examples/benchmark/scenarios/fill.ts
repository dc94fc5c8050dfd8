import { setTimeout as sleep } from 'node:timers/promises'
import type { Memory } from '../servers/vitals.ts'
import type { ChannelServer, Client } from './scenario.ts'

const LIMIT_MS = 30_000
const SETTLE_MS = 500

/**
 * Opens streams whose client hardly reads, and waits until the system takes no more for any of them, which is after about
 * 4 MB each. From then on the server itself has to do something about what else is sent.
 */
export async function fill(
  { port, child }: ChannelServer,
  client: Client,
  count: number,
  stall: true | 'never' | 'trickle'
): Promise<void> {
  const stuck = (await child.call('stuck')) ?? 0
  await client.call('open', { port, count, path: '/?fill', stall })
  const start = performance.now()
  while ((await child.call('stuck')) !== stuck + count) {
    if (performance.now() - start > LIMIT_MS) throw new Error('The streams did not fill up')
    await sleep(SETTLE_MS)
  }
  await sleep(SETTLE_MS)
}

/** What a process holds, whatever the system has set aside for it. */
export function heldBytes({ heapBytes, externalBytes }: Memory): number {
  return heapBytes + externalBytes
}
