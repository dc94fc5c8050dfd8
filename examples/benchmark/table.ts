import { cpus } from 'node:os'
import type { Row, Scenario } from './scenarios/scenario.ts'
import { median } from './statistics.ts'

export interface Result {
  readonly scenario: Scenario
  readonly rows: readonly Row[]
}

/** What the numbers were measured on. */
export function machine(): string {
  const cores = cpus()
  return `Node ${process.version}, ${process.platform} ${process.arch}, ${cores.length} × ${cores[0]?.model.trim()}`
}

export function markdown(results: readonly Result[]): string {
  const lines = [
    '| scenario | measure | contestant | median (min – max) | ours ÷ it | goal | |',
    '| --- | --- | --- | ---: | ---: | --- | --- |'
  ]
  for (const { scenario, rows } of results) for (const row of rows) lines.push(line(scenario, row))
  return lines.join('\n')
}

function line({ name }: Scenario, { measure, unit, contestant, samples, ratios, goal }: Row): string {
  const cells = [
    name,
    measure,
    contestant,
    `${spread(samples)} ${unit}`.trim(),
    ratios === undefined ? '' : spread(ratios),
    goal?.text ?? '',
    goal === undefined ? '' : goal.isMet ? 'met' : '**not met**'
  ]
  return `| ${cells.join(' | ')} |`
}

function spread(samples: readonly number[]): string {
  const middle = digits(median(samples))
  if (samples.length < 2) return middle
  return `${middle} (${digits(Math.min(...samples))} – ${digits(Math.max(...samples))})`
}

function digits(value: number): string {
  if (Number.isInteger(value)) return String(value)
  return value.toFixed(Math.abs(value) < 10 ? 3 : 1)
}
