import { parseArgs } from 'node:util'
import { findProgram } from '../../test/helpers/programs.ts'
import { busyShare } from './busy.ts'
import { ProcessContext } from './context.ts'
import { SCENARIOS } from './scenarios/all.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { machine, markdown, type Result } from './table.ts'

const MAX_BUSY_SHARE = 0.05

const USAGE = `npm run bench -- [options]

  --only NAME       run this scenario only; may be given several times
  --rounds N        paired rounds (5)
  --count N         connections or visits of a scenario, instead of its own number
  --json            print JSON instead of a table
  --node-arg ARG    a further Node option for the servers, such as --cpu-prof; may be given several times

Scenarios:
${SCENARIOS.map(({ name, about, isExtra }) => `  ${name.padEnd(16)}${about}${isExtra ? ' (only by name)' : ''}`).join('\n')}
`

function parseFlags() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      count: { type: 'string' },
      json: { type: 'boolean', default: false },
      'node-arg': { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', default: false }
    }
  })
  return values
}

function chosen(names: readonly string[] | undefined): Scenario[] {
  if (names === undefined) return SCENARIOS.filter(({ isExtra }) => isExtra !== true)
  return names.map((name) => {
    const scenario = SCENARIOS.find((candidate) => candidate.name === name)
    if (scenario === undefined) throw new Error(`There is no scenario "${name}"`)
    return scenario
  })
}

async function runAll(context: ProcessContext, scenarios: readonly Scenario[]): Promise<Result[]> {
  const results: Result[] = []
  for (const scenario of scenarios) {
    const { name, about, needs } = scenario
    if (needs !== undefined && findProgram(needs) === undefined) {
      context.note(`**${name} was left out: ${needs} is not installed**`)
      continue
    }
    process.stderr.write(`${name}: ${about}\n`)
    await noteOthers(context, scenario)
    try {
      results.push({ scenario, rows: await scenario.run(context) })
    } catch (error) {
      context.failures.push(`${name} broke off: ${error instanceof Error ? error.stack : error}`)
    }
  }
  return results
}

/** Whoever else uses the machine is measured too. */
async function noteOthers(context: ProcessContext, { name }: Scenario): Promise<void> {
  const share = await busyShare()
  if (share > MAX_BUSY_SHARE)
    context.note(`The machine was ${Math.round(share * 100)} % busy with other things before ${name}`)
}

function print(
  results: readonly Result[],
  { notes, failures, rounds }: ProcessContext,
  asJson: boolean
): void {
  if (asJson) {
    const scenarios = results.map(({ scenario: { name, about }, rows }) => ({ name, about, rows }))
    console.log(
      JSON.stringify({ machine: machine(), rounds, scenarios, notes: [...notes], failures }, null, 2)
    )
    return
  }
  console.log(`\n${machine()}; ${rounds} rounds\n\n${markdown(results)}\n`)
  for (const note of notes) console.log(`- ${note}`)
  for (const failure of failures) console.log(`- **Failed**: ${failure}`)
}

/** @returns what to run and how; `undefined` if that was not understood. */
function parseRequest() {
  try {
    const flags = parseFlags()
    return { flags, scenarios: chosen(flags.only) }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`)
    process.exitCode = 1
    return undefined
  }
}

async function main(): Promise<void> {
  const request = parseRequest()
  if (request === undefined) return
  const { flags, scenarios } = request
  if (flags.help) {
    console.log(USAGE)
    return
  }
  const context = await ProcessContext.create({
    rounds: Number(flags.rounds),
    count: flags.count === undefined ? undefined : Number(flags.count),
    nodeArgs: flags['node-arg']
  })
  print(await runAll(context, scenarios), context, flags.json)
  if (context.failures.length > 0) process.exitCode = 1
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
await main()
