import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

const WATCH_MS = 1_000

/** How much of the machine is used while this process does nothing, from 0 to 1. */
export async function busyShare(): Promise<number> {
  const before = usage()
  await sleep(WATCH_MS)
  const after = usage()
  return 1 - (after.idleMs - before.idleMs) / (after.allMs - before.allMs)
}

function usage() {
  let idleMs = 0
  let allMs = 0
  for (const { times } of cpus()) {
    idleMs += times.idle
    allMs += times.user + times.nice + times.sys + times.idle + times.irq
  }
  return { idleMs, allMs }
}
