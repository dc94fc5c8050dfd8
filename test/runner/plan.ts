import { PROGRAMS, type ProgramName, waysToHave } from '../helpers/programs.ts'

/** A test file, and what it needs besides Node. */
export interface TestFile {
  readonly file: string
  readonly needs: readonly ProgramName[]
}

/** Which tests are run. */
export interface Plan {
  readonly run: readonly TestFile[]
  /** Those that need a program which is not there. */
  readonly leftOut: readonly TestFile[]
  readonly missing: readonly ProgramName[]
}

/** What starts programs takes longest, and so comes first. */
export function planOf(tests: readonly TestFile[], isThere: (name: ProgramName) => boolean): Plan {
  const missing = programsOf(tests).filter((name) => !isThere(name))
  const lacks = ({ needs }: TestFile): boolean => needs.some((name) => missing.includes(name))
  const run = tests.filter((test) => !lacks(test)).sort((a, b) => b.needs.length - a.needs.length)
  return { run, leftOut: tests.filter(lacks), missing }
}

/** All that one of the tests needs. */
function programsOf(tests: readonly TestFile[]): ProgramName[] {
  const names = Object.keys(PROGRAMS) as ProgramName[]
  return names.filter((name) => tests.some(({ needs }) => needs.includes(name)))
}

export function titlesOf(names: readonly ProgramName[]): string {
  return names.map((name) => PROGRAMS[name].title).join(', ')
}

/** What is said of tests that are left out, line by line. */
export function leftOutLines({ run, leftOut, missing }: Plan): string[] {
  if (leftOut.length === 0) return []
  const total = run.length + leftOut.length
  return [
    `LEFT OUT: ${leftOut.length} of ${total} test files, for want of ${titlesOf(missing)}.`,
    ...leftOut.map(
      ({ file, needs }) => `  ${file} (${titlesOf(needs.filter((name) => missing.includes(name)))})`
    ),
    'They would be run if that were installed.',
    ...waysToHave(missing).map((way) => `  ${way}`)
  ]
}
