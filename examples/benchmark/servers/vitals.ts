import { createHook } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Memory {
  heapBytes: number
  /** Outside of the heap, but held by it: buffers most of all. */
  externalBytes: number
  rssBytes: number
}

/** Microseconds of CPU in the process's own code, and in the operating system. */
export interface CpuParts {
  userUs: number
  systemUs: number
}

/** What a process holds open: kinds of handles and timers (`unref()`ed ones too), and listeners by event. */
export type Audit = Record<string, number>

const KINDS = new Set([
  'Timeout',
  'Immediate',
  'TCPWRAP',
  'TCPSERVERWRAP',
  'PIPEWRAP',
  'WRITEWRAP',
  'SHUTDOWNWRAP'
])

const resources = new Map<number, string>()

/** Microseconds of CPU, user and system, that this process has used. */
export function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** What `cpu()` was spent on. */
export function cpuParts(): CpuParts {
  const { user, system } = process.cpuUsage()
  return { userUs: user, systemUs: system }
}

export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await sleep(20)
  }
}

export async function memory(): Promise<Memory> {
  await collectGarbage()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss }
}

/** From here on `audit()` sees handles and timers that are made. */
export function watchResources(): void {
  createHook({
    init(id, kind) {
      if (KINDS.has(kind)) resources.set(id, kind)
    },
    destroy(id) {
      resources.delete(id)
    }
  }).enable()
}

export function audit(emitters: Record<string, EventEmitter>): Audit {
  const counts: Audit = {}
  const add = (name: string): void => {
    counts[name] = (counts[name] ?? 0) + 1
  }
  for (const kind of resources.values()) add(`made ${kind}`)
  for (const kind of process.getActiveResourcesInfo()) add(`active ${kind}`)
  for (const [name, emitter] of Object.entries({ process, ...emitters })) {
    for (const event of emitter.eventNames()) {
      counts[`${name} on ${String(event)}`] = emitter.listenerCount(event)
    }
  }
  return counts
}
