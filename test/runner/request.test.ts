import t from 'tap'
import { PROGRAMS } from '../helpers/programs.ts'
import { requestOf } from './request.ts'

t.test('requestOf()', async (t) => {
  const root = t.testdir({
    lib: { 'a.ts': '' },
    test: { 'a.test.ts': '', 'a.ts': '', history: { 'b.test.ts': '', 'c.test.ts': '' } }
  })
  const layer = Object.keys(PROGRAMS)

  t.test('without arguments, is all tests', async (t) => {
    t.same(requestOf([], root), {
      files: ['test/a.test.ts', 'test/history/b.test.ts', 'test/history/c.test.ts'],
      layer,
      options: [],
      isWhole: true
    })
  })

  t.test('takes files and folders, each test once', async (t) => {
    const { files, isWhole } = requestOf(['test/history/c.test.ts', 'test/history'], root)
    t.same(files, ['test/history/c.test.ts', 'test/history/b.test.ts'])
    t.equal(isWhole, false)
  })

  t.test('leaves the rest to the runner', async (t) => {
    const request = requestOf(['test/a.test.ts', '--grep', 'heartbeat', '--reporter=tap'], root)
    t.match(request, { files: ['test/a.test.ts'], layer, options: ['--grep', 'heartbeat', '--reporter=tap'] })
  })

  t.test('a test that is not there is an error, not all tests', async (t) => {
    t.throws(() => requestOf(['test/b.test.ts'], root), { message: 'test/b.test.ts: there is no such test' })
  })

  t.test('--core › what needs no program', async (t) => {
    const { files, layer, options, isWhole } = requestOf(['--core'], root)
    t.same(
      { files: files.length, layer, options, isWhole },
      { files: 3, layer: [], options: [], isWhole: false }
    )
  })

  t.test('--with › what needs only these', async (t) => {
    t.same(requestOf(['--with=nginx,chromium'], root).layer, ['nginx', 'chromium'])
    t.throws(() => requestOf(['--with=chrome'], root), {
      message: /^--with=chrome: there are redis-server, nginx, /
    })
  })
})
