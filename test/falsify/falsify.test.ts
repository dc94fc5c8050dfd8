import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { environmentOfPrograms, startProgram } from '../helpers/guardian.ts'
import { BREAKS } from './breaks.ts'

const LIB = new URL('../../lib/', import.meta.url)
const COMMAND = ['--import', './test/helpers/strip-types/register.js', 'test/falsify/main.ts']

t.test('falsify › each fault can be put in', async (t) => {
  for (const [name, { file, line }] of Object.entries(BREAKS)) {
    t.equal(readFileSync(new URL(file, LIB), 'utf8').split(line).length, 2, name)
  }
})

async function falsify(t: Test, ...options: string[]): Promise<{ code: number | null; output: string }> {
  const command = startProgram(process.execPath, [...COMMAND, ...options], {
    env: environmentOfPrograms(),
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => command.kill())
  let output = ''
  for (const stream of [command.stdout, command.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const [code] = await once(command, 'close')
  return { code, output }
}

t.test('falsify › a fault that is put in is found', async (t) => {
  const { code, output } = await falsify(t, '--break', 'swapped', '--seconds', '4', '--seed', '7')
  t.equal(code, 0)
  t.match(output, /schedules: In schedule \d+: (order|loss): /)
  t.match(output, '1 of 1 faults were found. To repeat it: --seed 7')
})

t.test('falsify › says what it can do, and what is wrong with its options', async (t) => {
  const help = await falsify(t, '--help')
  t.equal(help.code, 0)
  for (const [name, { fault }] of Object.entries(BREAKS))
    t.ok(help.output.includes(`${name} `) && help.output.includes(fault), name)
  for (const options of [['--break', 'nothing'], ['--seconds', '0'], ['--unknown']]) {
    const { code, output } = await falsify(t, ...options)
    t.equal(code, 2)
    t.match(output, options.at(-1) ?? '')
    t.match(output, help.output)
  }
})
