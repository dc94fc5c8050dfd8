import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { PROGRAMS, type ProgramName } from '../helpers/programs.ts'

/** What is asked for on the command line. */
export interface Request {
  /** Test files, by their paths in the project. */
  readonly files: readonly string[]
  /** The programs that a test may need to be run. */
  readonly layer: readonly ProgramName[]
  /** What the runner of the tests is told besides. */
  readonly options: readonly string[]
  /** Whether it is everything. */
  readonly isWhole: boolean
}

const ALL = Object.keys(PROGRAMS) as ProgramName[]
const TEST = /\.test\.ts$/

/**
 * Understands `--core`, which leaves all tests to others that need more than Node, `--with=PROGRAM,…`, which leaves those
 * that need others, and files and folders of tests. The rest is for the runner.
 */
export function requestOf(args: readonly string[], root: string): Request {
  const layers = args.map(layerOf).filter((layer) => layer !== undefined)
  const rest = args.filter((arg) => layerOf(arg) === undefined)
  const named = rest.filter((arg) => !arg.startsWith('-') && existsSync(join(root, arg)))
  const options = rest.filter((arg) => !named.includes(arg))
  const missing = options.find((arg) => /^[^-].*\.test\.ts$/.test(arg))
  if (missing !== undefined) throw new Error(`${missing}: there is no such test`)
  const paths = named.length === 0 ? ['test'] : named
  const files = new Set(paths.flatMap((path) => testsAt(join(root, path))))
  return {
    files: [...files].map((file) => relative(root, file).split(sep).join('/')),
    layer: layers.length === 0 ? ALL : layers.flat(),
    options,
    isWhole: args.length === 0
  }
}

function layerOf(arg: string): ProgramName[] | undefined {
  if (arg === '--core') return []
  if (!arg.startsWith('--with=')) return undefined
  return arg.slice('--with='.length).split(',').map(programOf)
}

function programOf(name: string): ProgramName {
  const program = ALL.find((known) => known === name)
  if (program === undefined) throw new Error(`--with=${name}: there are ${ALL.join(', ')}`)
  return program
}

function testsAt(path: string): string[] {
  if (statSync(path).isFile()) return [path]
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => TEST.test(name))
    .sort()
    .map((name) => join(path, name))
}
