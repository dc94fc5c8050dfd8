/**
 * Runs the tests: `npm test [-- FILE… OPTION…]`, with tap's options. What a test needs besides Node is told from what it
 * imports of `helpers/programs/`; `.github/CONTRIBUTING.md` says what becomes of those that need what is not there.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram, PROGRAMS, waysToHave } from './helpers/programs.ts'
import { install, mayInstall } from './runner/install.ts'
import { Needs } from './runner/needs.ts'
import { leftOutLines, type Plan, planOf, type TestFile, titlesOf } from './runner/plan.ts'
import { type Request, requestOf } from './runner/request.ts'
import { runTap } from './runner/tap.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const isCI = process.env.CI === 'true'

process.exitCode = await main(requestOf(process.argv.slice(2), ROOT))

async function main(request: Request): Promise<number> {
  const plan = prepare(testsOf(request))
  if (plan.missing.length > 0 && isCI) {
    say(`With CI=true nothing may be missing, but ${titlesOf(plan.missing)} cannot be found.`)
    say(...waysToHave(plan.missing))
    return 1
  }
  if (plan.run.length === 0) {
    say(...leftOutLines(plan), 'No test is left to be run.')
    return 1
  }
  // Not all of the Redis store is covered yet: what is not is shown, and does not fail the run.
  const coverage = [isCI && request.isWhole ? '--allow-incomplete-coverage' : '--disable-coverage']
  const files = plan.run.map(({ file }) => file)
  const code = await runTap([...coverage, ...request.options, ...files], ROOT)
  say(...leftOutLines(plan))
  return code
}

/** The tests that are asked for, of the layer that is asked for. */
function testsOf({ files, layer }: Request): TestFile[] {
  const needs = new Needs(join(ROOT, 'test/helpers/programs'))
  const tests = files.map((file) => ({ file, needs: needs.of(join(ROOT, file)) }))
  const ofLayer = tests.filter((test) => test.needs.every((name) => layer.includes(name)))
  if (layer.length < Object.keys(PROGRAMS).length) {
    say(
      `${ofLayer.length} of ${tests.length} test files need only ${['Node', titlesOf(layer)].filter(Boolean).join(', ')}`
    )
  }
  return ofLayer
}

/** Installs what is missing, where that is allowed. */
function prepare(tests: readonly TestFile[]): Plan {
  const plan = planOf(tests, isThere)
  if (plan.missing.length === 0 || !mayInstall()) return plan
  say(`Installing ${titlesOf(plan.missing)} with apt-get, which takes a minute (TEST_SETUP=no forbids it) …`)
  install(plan.missing)
  return planOf(tests, isThere)
}

function isThere(name: keyof typeof PROGRAMS): boolean {
  return findProgram(name) !== undefined
}

function say(...lines: string[]): void {
  for (const line of lines) console.error(line)
}
