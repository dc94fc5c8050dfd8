import { gzipSync } from 'node:zlib'
import t from 'tap'
import { bundle } from './bundle.ts'

/** Minified and gzipped, with the parser. */
const LIMITS = { 'client.ts': 4_000, 'shared.ts': 5_200 }

t.test('client › what a page loads', async (t) => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    const { length } = gzipSync(await bundle(`../../lib/client/${name}`), { level: 9 })
    t.ok(length <= limit, `${name} takes ${length} of ${limit} bytes`)
  }
})

t.test('client › what a page does not use is not loaded', async (t) => {
  for (const name of Object.keys(LIMITS)) {
    const { length } = await bundle(`import '../../lib/client/${name}'`)
    t.equal(length, 0, `${name} has no side effects`)
  }
})
