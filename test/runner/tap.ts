import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { removeFolder, signalGroup, startGroup, temporaryFolder } from '../helpers/guardian.ts'

const PARENT_CHECK_MS = 500
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs tap in the folder. With this process, whatever ends it, tap and the tests end, and so they do with the one that started
 * this, which npm is. What anything writes to the system's folder for temporary files is gone in the end.
 *
 * @returns its exit code.
 */
export async function runTap(args: readonly string[], cwd: string): Promise<number> {
  const folder = temporaryFolder('tests')
  const env = { ...process.env, TMPDIR: folder, TMP: folder, TEMP: folder }
  const tap = startGroup(process.execPath, [executable(), ...args], {
    cwd,
    env,
    stdio: ['ignore', 'inherit', 'inherit']
  })
  for (const signal of SIGNALS) process.on(signal, () => signalGroup(tap, signal))
  const { ppid } = process
  const parentCheck = setInterval(() => {
    if (process.ppid !== ppid) process.exit(1)
  }, PARENT_CHECK_MS)
  const code = await new Promise<number>((resolve, reject) => {
    tap.once('error', reject).once('exit', (exitCode) => resolve(exitCode ?? 1))
  })
  clearInterval(parentCheck)
  signalGroup(tap, 'SIGKILL')
  removeFolder(folder)
  return code
}

function executable(): string {
  const file = createRequire(import.meta.url).resolve('tap/package.json')
  const { bin }: { bin: { tap: string } } = JSON.parse(readFileSync(file, 'utf8'))
  return join(dirname(file), bin.tap)
}
