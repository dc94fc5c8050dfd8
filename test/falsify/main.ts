/** Tries to show that the library breaks its promise: `npm run falsify -- --help`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { VIOLATIONS } from '../checker/violation.ts'
import { findProgram, PROGRAMS, waysToHave } from '../helpers/programs.ts'
import { BREAKS, type Break, type BreakName } from './breaks.ts'
import { PARTS, type Part } from './parts.ts'

const MAIN = fileURLToPath(import.meta.url)
const names = Object.keys(BREAKS) as BreakName[]

const WIDTH = Math.max(...names.map(({ length }) => length))
const HELP = `npm run falsify -- [options]

  --seconds N    how long it is tried (60), or looked for each fault at most (30)
  --seed N       repeats what was tried
  --break NAME   breaks the library on purpose, to see that this is found; all: in each of these ways

${names.map((name) => `  ${name.padEnd(WIDTH)} ${BREAKS[name].fault}`).join('\n')}`

const options = optionsOf(process.argv.slice(2))
if (options === undefined) process.exit()
const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31)
const { seconds, broken } = options
// Clients that wait for ever do not end.
process.exit(await (broken === undefined ? tryAll(seconds ?? 60) : breakAll(broken, seconds ?? 30)))

/** @returns `undefined` if nothing is to be tried. */
function optionsOf(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string' },
        seed: { type: 'string' },
        break: { type: 'string' },
        help: { type: 'boolean' }
      }
    })
    if (values.help) say(HELP)
    else
      return {
        seconds: countOf('--seconds', values.seconds),
        seed: countOf('--seed', values.seed),
        broken: namesOf(values.break)
      }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`)
    process.exitCode = 2
  }
  return undefined
}

function countOf(name: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined
  const count = Number(given)
  if (Number.isSafeInteger(count) && count > 0) return count
  throw new Error(`Expected ${name} to be a positive integer, got ${given}`)
}

function namesOf(given: string | undefined): readonly BreakName[] | undefined {
  if (given === undefined) return undefined
  if (given === 'all') return names
  const name = names.find((known) => known === given)
  if (name !== undefined) return [name]
  throw new Error(`Expected --break to be all, or one of those below, got ${given}`)
}

/** @returns the exit code: 1 if there was a violation. */
async function tryAll(seconds: number): Promise<number> {
  say(
    `What would be a violation:`,
    ...Object.entries(VIOLATIONS).map(([kind, text]) => `  ${kind}: ${text}`),
    ''
  )
  let failed = 0
  const broken: Break | undefined = BREAKS[process.env.BREAK as BreakName]
  const parts = PARTS.filter(({ name, needs }) => {
    if (broken === undefined) return true
    return broken.part === undefined ? needs === undefined : name === broken.part
  })
  const shareOf = (part: Part): number => (part.name === broken?.part ? 1 : part.share)
  for (const part of parts) if (!(await holds(part, seconds * shareOf(part)))) failed++
  say(failed === 0 ? 'No violation was found.' : `VIOLATIONS in ${failed} of ${parts.length} parts.`)
  say(`To repeat it: npm run falsify -- --seed ${seed} --seconds ${seconds}`)
  return failed === 0 ? 0 : 1
}

async function holds({ name, title, needs, try: attempt }: Part, seconds: number): Promise<boolean> {
  say(`${title}, for ${Math.ceil(seconds)} seconds.`)
  if (needs !== undefined && findProgram(needs) === undefined) {
    say(`  LEFT OUT, for want of ${PROGRAMS[needs].title}.`, ...waysToHave([needs]), '')
    return true
  }
  const { tried, violations } = await attempt(seed, seconds * 1_000)
  say(...tried.map((line) => `  ${line}`))
  if (violations !== '') say(...`VIOLATION in ${name}\n${violations}`.split('\n').map((line) => `  ${line}`))
  say('')
  return violations === ''
}

/** @returns the exit code: 1 if a fault was not found. */
async function breakAll(broken: readonly BreakName[], seconds: number): Promise<number> {
  let missed = 0
  for (const name of broken) {
    say(`${name}: ${BREAKS[name].fault}`)
    const isFound = await breakOne(name, seconds)
    if (!isFound) missed++
    say(isFound ? '  found' : '  NOT FOUND')
  }
  say('', `${broken.length - missed} of ${broken.length} faults were found. To repeat it: --seed ${seed}`)
  return missed === 0 ? 0 : 1
}

/** In a process of its own. */
async function breakOne(name: BreakName, seconds: number): Promise<boolean> {
  const args = [...process.execArgv, MAIN, '--seed', String(seed), '--seconds', String(seconds)]
  const child = spawn(process.execPath, args, { env: { ...process.env, BREAK: name } })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const [code] = await once(child, 'close')
  const found = output.match(/^ {2}VIOLATION in .*\n.*$/gm) ?? []
  say(...found.map((lines) => lines.replace(/VIOLATION in (.*)\n */, '$1: ')))
  if (found.length === 0 && code !== 0) throw new Error(output)
  return found.length > 0
}

function say(...lines: string[]): void {
  for (const line of lines) console.log(line)
}
