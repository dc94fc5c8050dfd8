/**
 * Nothing that a process starts by this module outlives it, however it ends. A small process beside it, the guardian, is told
 * what there is, and notices by the end of a pipe that this one is gone.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const GUARDIAN = fileURLToPath(new URL('./guardian-process.js', import.meta.url))
const isWindows = process.platform === 'win32'
/** Where it gets a group of its own, which is gone as a whole. On Windows, that would be a window. */
const inGroup = { detached: !isWindows, windowsHide: true }

type Word = 'program' | 'group'

let guardian: Socket | undefined

/** Starts a program. At the latest when this process ends, it is killed, and so is all that came from it. */
export function startProgram(file: string, args: readonly string[], options?: SpawnOptions): ChildProcess {
  return start('program', file, args, options)
}

/** Starts a program of which only its group is killed: processes that leave the group must have guardians of their own. */
export function startGroup(file: string, args: readonly string[], options?: SpawnOptions): ChildProcess {
  return start('group', file, args, options)
}

/** Watches over what a library starts until `launch` settles, as if it had been started by {@link startProgram}. */
export async function watchOver<T>(launch: () => Promise<T>): Promise<T> {
  guardian ??= startGuardian()
  const onProcess = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess }
    child.once('spawn', () => watch('program', child))
  }
  subscribe('child_process', onProcess)
  try {
    return await launch()
  } finally {
    unsubscribe('child_process', onProcess)
  }
}

/** Makes a folder of which nothing is left at the latest when this process ends. */
export function temporaryFolder(name: string): string {
  guardian ??= startGuardian()
  const path = mkdtempSync(join(tmpdir(), `${name}-`))
  tell('folder', path)
  return path
}

/** Removes such a folder before. */
export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 20 })
  tell('removed', path)
}

/** Sends a signal to the program's whole group, if there is anything left of it. @returns whether there was. */
export function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(isWindows ? pid : -pid, signal)
  } catch {
    return false
  }
}

function start(word: Word, file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  guardian ??= startGuardian()
  const child = spawn(file, args, { ...options, ...inGroup })
  watch(word, child)
  return child
}

function watch(word: Word, child: ChildProcess): void {
  if (child.pid === undefined) return
  tell(word, child.pid)
  child.once('exit', () => tell(!isWindows && signalGroup(child, 0) ? 'left' : 'ended', Number(child.pid)))
}

function tell(word: string, what: string | number): void {
  guardian?.write(`${word} ${what}\n`)
}

function startGuardian(): Socket {
  // Windows ends with a process all that it has started, but for what is detached.
  const child = spawn(process.execPath, [GUARDIAN], {
    detached: true,
    windowsHide: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: environmentOfPrograms()
  })
  child.unref()
  // What Node gives for a pipe.
  const pipe = child.stdin as Socket
  pipe.on('error', () => {}).unref()
  // For the guardian of a run, whose folder this is in.
  const mark = join(tmpdir(), `guardian-${child.pid}`)
  writeFileSync(mark, '')
  pipe.write(`folder ${mark}\n`)
  return pipe
}

/**
 * This process's environment, without what would make a program load the test runner. Where that loads all the same, it
 * must not count: a program's TypeScript is compiled otherwise, and would spoil the coverage of the tests.
 */
export function environmentOfPrograms(): NodeJS.ProcessEnv {
  const isForTests = /^(_?TAP|NODE_OPTIONS$)/
  const inherited = Object.entries(process.env).filter(([name]) => !isForTests.test(name))
  return { ...Object.fromEntries(inherited), _TAPJS_PROCESSINFO_COVERAGE_: '0' }
}
