import t from 'tap'
import { guide } from '../../helpers/manual.ts'
import { versioned } from '../row.ts'

t.test('the guide to SDKs › names the versions that are tested', async (t) => {
  const rows = [...guide('sdks').matchAll(/^\| (`[^|]+) \|/gm)].map(([, packages = '']) => packages)
  t.not(rows.length, 0)
  for (const packages of rows) {
    const names = [...packages.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    t.equal(packages, versioned(...names))
  }
})
