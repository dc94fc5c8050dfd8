import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { signalGroup, startGroup, temporaryFolder } from '../helpers/guardian.ts'
import { Failures } from './failures.ts'
import { onceOrphaned } from './orphan.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs tap in the folder. With this process, whatever ends it, tap and the tests end, and it ends with npm, which started it.
 * Then what anything has written to the system's folder for temporary files is gone, too.
 *
 * @returns its exit code.
 */
export async function runTap(args: readonly string[], cwd: string): Promise<number> {
  const folder = temporaryFolder('tests')
  const env = { ...process.env, TMPDIR: folder, TMP: folder, TEMP: folder }
  const tap = startGroup(process.execPath, [executable(), ...args], {
    cwd,
    env,
    // On a terminal, what has failed is told by what it shows there.
    stdio: ['ignore', process.stdout.isTTY ? 'inherit' : 'pipe', 'inherit']
  })
  tap.stdout?.setEncoding('utf8').pipe(new Failures()).pipe(process.stdout)
  let isStopping = false
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // The first lets tap tell what was under way, but a test that is busy heeds no signal.
      if (isStopping) process.exit(1)
      isStopping = true
      signalGroup(tap, signal)
    })
  }
  const orphanhood = onceOrphaned(() => process.exit(1))
  const code = await new Promise<number>((resolve, reject) => {
    tap.once('error', reject).once('close', (exitCode) => resolve(exitCode ?? 1))
  })
  orphanhood.stop()
  return code
}

function executable(): string {
  const file = createRequire(import.meta.url).resolve('tap/package.json')
  const { bin }: { bin: { tap: string } } = JSON.parse(readFileSync(file, 'utf8'))
  return join(dirname(file), bin.tap)
}
