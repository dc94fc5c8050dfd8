import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PROGRAMS } from '../helpers/programs.ts'
import { importsIn, Needs } from './needs.ts'

const TESTS = fileURLToPath(new URL('..', import.meta.url))
const MODULES = fileURLToPath(new URL('../helpers/programs', import.meta.url))

t.test('importsIn() › the files that a module needs to run', async (t) => {
  const cases: [code: string, imports: string[]][] = [
    ["import { a } from './a.ts'", ['./a.ts']],
    ["import {\n  a,\n  type B\n} from '../a.ts'", ['../a.ts']],
    ["import a, * as b from './a.ts'", ['./a.ts']],
    ["import './a.ts'", ['./a.ts']],
    ["export { a } from './a.ts'\nexport * from './b.ts'", ['./a.ts', './b.ts']],
    ["const { a } = await import('./a.ts')", ['./a.ts']],
    ["const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))", ['./main.ts']],
    ["const page = new URL('page.html', import.meta.url)", []],
    ["import { join } from 'node:path'\nimport t from 'tap'", []],
    ["import type { A } from './a.ts'\nexport type { B } from './b.ts'", []],
    ["export interface A {\n}\n\nimport type { B } from './b.ts'", []]
  ]
  for (const [code, imports] of cases) t.same(importsIn(code), imports, code)
})

t.test('Needs › .of() › the programs whose modules a file imports, directly or not', async (t) => {
  const folder = t.testdir({
    programs: { 'nginx.ts': '', 'haproxy.ts': "import '../shared.ts'" },
    'shared.ts': "import './core.test.ts'",
    'core.test.ts': "import type { A } from './programs/nginx.ts'\nimport './shared.ts'",
    'nginx.test.ts': "import { nginx } from './programs/nginx.ts'",
    'both.test.ts': "import './nginx.test.ts'\nexport const store = () => import('./programs/haproxy.ts')"
  })
  const needs = new Needs(`${folder}/programs`)
  t.same(needs.of(`${folder}/core.test.ts`), [])
  t.same(needs.of(`${folder}/nginx.test.ts`), ['nginx'])
  t.same(needs.of(`${folder}/both.test.ts`), ['nginx', 'haproxy'])
})

t.test('Needs › of our own tests', async (t) => {
  const needs = new Needs(MODULES)
  t.same(needs.of(`${TESTS}/runner/request.test.ts`), [])
  t.same(needs.of(`${TESTS}/ecosystem/haproxy.test.ts`), ['haproxy'])
})

t.test('programs › each has a module that starts it', async (t) => {
  t.same(
    readdirSync(MODULES).sort(),
    Object.keys(PROGRAMS)
      .map((name) => `${name}.ts`)
      .sort()
  )
})
