import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** What the library reads besides its code. */
const SCRIPT = path.join('lib', 'history', 'redis', 'publish.lua')
const TSC = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')

/** The library and the benchmark as plain JavaScript, so that no loader is measured. */
export interface Build {
  /** The compiled file of a TypeScript module of the benchmark. */
  fileOf(module: URL): string
}

/**
 * Compiles into a directory of its own below `node_modules`, from where packages resolve as they do for users. It goes
 * with this process.
 */
export async function build(): Promise<Build> {
  const cache = path.join(ROOT, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(path.join(cache, 'benchmark-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  await writeFile(path.join(directory, 'package.json'), '{ "type": "module" }')
  const config = fileURLToPath(new URL('./tsconfig.json', import.meta.url))
  await promisify(execFile)(process.execPath, [TSC, '-p', config, '--outDir', directory])
  await cp(path.join(ROOT, SCRIPT), path.join(directory, SCRIPT))
  return {
    fileOf: (module) => {
      const file = path.relative(ROOT, fileURLToPath(module))
      return path.join(directory, file.replace(/\.ts$/, '.js'))
    }
  }
}
