import { text } from 'node:stream/consumers'
import t from 'tap'
import { Failures } from './failures.ts'

const TAP = `TAP version 14
# Subtest: test/a.test.ts
    # Subtest: History › close()
        ok 1 - drops what it has
        not ok 2 - should be equal
          ---
          diff: |
            not ok, as it is
          ...
        1..2
    not ok 1 - History › close() # time=4.1ms
    ok 2 - History › open() # time=1ms
    1..2
not ok 1 - test/a.test.ts # time=10ms
# Subtest: test/b.test.ts
    ok 1 - should be equal
    1..1
ok 2 - test/b.test.ts # time=10ms
not ok 3 - test/c.test.ts # time=600000ms
`
const SUMMARY = '# { total: 4, pass: 2, fail: 2 }\n# time=20ms\n'

async function through(...pieces: string[]): Promise<string> {
  const failures = new Failures()
  for (const piece of pieces) failures.write(piece)
  failures.end()
  return text(failures)
}

t.test('Failures › are told before the summary, by file, test and assertion, each once', async (t) => {
  const told = `# not ok: test/a.test.ts › History › close() › should be equal\n# not ok: test/c.test.ts\n`
  t.equal(await through(TAP + SUMMARY), TAP + told + SUMMARY)
  t.equal(await through(...TAP, ...SUMMARY), TAP + told + SUMMARY, 'in whatever pieces it comes')
})

t.test('Failures › nothing is told where nothing has failed, or there is no summary', async (t) => {
  const fine = TAP.replaceAll('not ok', 'ok')
  t.equal(await through(fine, SUMMARY), fine + SUMMARY)
  t.equal(await through(TAP, 'no end'), `${TAP}no end`)
})
