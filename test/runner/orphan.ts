import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const CHECK_MS = 500
const isLinux = process.platform === 'linux'

/** Calls back once this process's parent is gone, or npm, where this is a script of it: the shell between them lives on. */
export function onceOrphaned(callback: () => void): { stop(): void } {
  const { ppid } = process
  const npm = process.env.npm_lifecycle_event === undefined ? undefined : parentOf(ppid)
  const isOrphan = (): boolean => process.ppid !== ppid || (npm !== undefined && !isStillParent(npm, ppid))
  const timer = setInterval(() => {
    if (!isOrphan()) return
    clearInterval(timer)
    callback()
  }, CHECK_MS)
  return { stop: () => clearInterval(timer) }
}

function parentOf(pid: number): number | undefined {
  if (process.platform === 'win32') return undefined
  try {
    return isLinux ? parentByLinux(pid) : Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)]))
  } catch {
    return undefined
  }
}

function parentByLinux(pid: number): number {
  const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(parent)
}

/** Elsewhere than on Linux, it would take a process to ask exactly. */
function isStillParent(parent: number, child: number): boolean {
  try {
    return isLinux ? parentByLinux(child) === parent : process.kill(parent, 0)
  } catch {
    return false
  }
}
