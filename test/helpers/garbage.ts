import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { nextTurn } from './server.ts'

setFlagsFromString('--expose-gc')

/** Collects what is garbage now, without finalizers. */
export const gc: () => void = runInNewContext('gc')

/** Collects what is garbage, and lets finalizers run. */
export async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await nextTurn()
    gc()
  }
  await nextTurn()
}

/** Bytes of heap that are in use when the garbage is gone. */
export async function heapBytes(): Promise<number> {
  await collectGarbage()
  return process.memoryUsage().heapUsed
}
