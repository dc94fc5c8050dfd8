import { readFileSync } from 'node:fs'
import t from 'tap'
import { versioned } from '../row.ts'

const GUIDE = readFileSync(new URL('../../../examples/guides/sdks.md', import.meta.url), 'utf8')

t.test('the guide to SDKs › names the versions that are tested', async (t) => {
  const rows = [...GUIDE.matchAll(/^\| (`[^|]+) \|/gm)].map(([, packages = '']) => packages)
  t.not(rows.length, 0)
  for (const packages of rows) {
    const names = [...packages.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    t.equal(packages, versioned(...names))
  }
})
