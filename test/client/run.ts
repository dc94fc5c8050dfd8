/**
 * Drives the client into what can go wrong, in each engine that is installed: `npm run test:client [-- ENGINE… --grep=PATTERN]`.
 * Says which engines cannot be driven into what.
 */
import type { Test } from '../helpers/browser.ts'
import { findProgram, type ProgramName } from '../helpers/programs.ts'
import { browsers } from './browser-engines.ts'
import type { Engine, EngineName } from './engine.ts'
import { node } from './node-engine.ts'
import { scenarios } from './scenarios.ts'
import { Stage } from './stage.ts'

const launchers: Record<string, (t: Test) => Promise<Engine>> = { Node: async () => node, ...browsers }
const programs: Record<string, ProgramName[]> = {
  Chromium: ['chromium'],
  Firefox: ['firefox'],
  WebKit: ['webkit', 'xvfb']
}
const args = process.argv.slice(2)
const grep = args.find((arg) => arg.startsWith('--grep='))?.slice('--grep='.length) ?? ''
const names = args.filter((arg) => !arg.startsWith('-'))
const chosen = scenarios.filter(({ name }) => new RegExp(grep).test(name))

for (const [name, launch] of Object.entries(launchers)) {
  if (names.length > 0 && !names.includes(name)) continue
  if (programs[name]?.some((program) => findProgram(program) === undefined)) {
    console.log(`${name}: – not installed`)
    continue
  }
  const teardowns: (() => unknown)[] = []
  const engine = await launch({ teardown: (fn) => teardowns.push(fn) })
  for (const scenario of chosen) {
    const { [engine.name as EngineName]: why } = scenario.not ?? {}
    const started = performance.now()
    let result = '✔'
    if (why !== undefined) result = `– ${why}`
    else {
      const stage = await Stage.open(engine)
      try {
        await scenario.run(stage)
      } catch (error) {
        result = '✘'
        process.exitCode = 1
        console.error(error)
      }
      await stage.close()
    }
    console.log(`${name}: ${result} ${scenario.name} (${Math.round(performance.now() - started)} ms)`)
  }
  for (const teardown of teardowns.reverse()) await teardown()
}
// Node 20 may clean up for ever what it had of a browser that was killed.
process.exit()
