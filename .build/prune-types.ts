import { readdirSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import ts from 'typescript'

/** Leaves of the built declarations only those that the package's entries lead to. */
const dist = resolve(import.meta.dirname, '../dist')
const entries = [
  'index.d.ts',
  'client/client.d.ts',
  'client/shared.d.ts',
  'testing/testing.d.ts',
  'conformance/conformance.d.ts'
].map((name) => resolve(dist, name))
const module = ts.ModuleKind.NodeNext
const program = ts.createProgram(entries, {
  module,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node']
})
const reached = new Set(program.getSourceFiles().map(({ fileName }) => fileName))
for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  const file = resolve(dist, name)
  if (file.endsWith('.d.ts') && !reached.has(file)) rmSync(file)
}
