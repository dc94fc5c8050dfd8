import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { environmentOfPrograms, startProgram } from '../helpers/guardian.ts'
import { BREAKS } from './breaks.ts'

const LIB = new URL('../../lib/', import.meta.url)
const COMMAND = ['--import', './test/helpers/strip-types/register.js', 'test/falsify/main.ts']

t.test('falsify › each fault can be put in', async (t) => {
  for (const [name, { file, line }] of Object.entries(BREAKS)) {
    t.equal(readFileSync(new URL(file, LIB), 'utf8').split(line).length, 2, name)
  }
})

t.test('falsify › a fault that is put in is found', async (t) => {
  const command = startProgram(
    process.execPath,
    [...COMMAND, '--break', 'swapped', '--seconds', '4', '--seed', '7'],
    {
      env: environmentOfPrograms(),
      stdio: ['ignore', 'pipe', 'inherit']
    }
  )
  t.teardown(() => command.kill())
  let output = ''
  command.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  t.same(await once(command, 'close'), [0, null])
  t.match(output, /schedules: In schedule \d+: (order|loss): /)
  t.match(output, '1 of 1 faults were found. To repeat it: --seed 7')
})
