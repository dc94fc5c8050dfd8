import t from 'tap'
import type { ProgramName } from '../helpers/programs.ts'
import { leftOutLines, planOf, type TestFile } from './plan.ts'

const core: TestFile = { file: 'core.test.ts', needs: [] }
const proxy: TestFile = { file: 'proxy.test.ts', needs: ['nginx'] }
const page: TestFile = { file: 'page.test.ts', needs: ['nginx', 'chromium'] }
const balancer: TestFile = { file: 'balancer.test.ts', needs: ['haproxy'] }
const TESTS = [core, proxy, page, balancer]

function only(...there: ProgramName[]) {
  return (name: ProgramName): boolean => there.includes(name)
}

t.test('planOf()', async (t) => {
  t.test('runs everything where everything is there, first what starts most', async (t) => {
    const plan = planOf(TESTS, () => true)
    t.same(plan, { run: [page, proxy, balancer, core], leftOut: [], missing: [] })
  })

  t.test('leaves out what needs a program that is not there, even one of two', async (t) => {
    const plan = planOf(TESTS, only('nginx', 'haproxy'))
    t.same(plan, { run: [proxy, balancer, core], leftOut: [page], missing: ['chromium'] })
  })

  t.test('misses nothing that no test needs', async (t) => {
    t.same(planOf([core, proxy], only('nginx')).missing, [])
  })
})

t.test('leftOutLines()', async (t) => {
  t.test('says nothing when nothing is left out', async (t) => {
    t.same(leftOutLines(planOf(TESTS, () => true)), [])
  })

  t.test('says what is left out, for want of what, and how to have it', async (t) => {
    t.same(leftOutLines(planOf(TESTS, only('nginx'))), [
      'LEFT OUT: 2 of 4 test files, for want of HAProxy, Chromium.',
      '  page.test.ts (Chromium)',
      '  balancer.test.ts (HAProxy)',
      'They would be run if that were installed.',
      '  As root on Debian or Ubuntu: apt-get update && apt-get install -y --no-install-recommends haproxy chromium',
      '  With Homebrew: brew install haproxy && brew install --cask chromium'
    ])
  })
})
