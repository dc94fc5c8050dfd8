import { readFileSync } from 'node:fs'
import type { Contestant } from './contestant.ts'
import { type Order, Stage } from './stage.ts'

/** One line of the plugin matrix. */
export interface Row {
  /** What a stream is shown beside. */
  readonly name: string
  /** What is shown, as a sentence about the stream. */
  readonly shows: string
  /** Whether the contestant has such a thing at all; otherwise it is not asked to show it. */
  isFor?(contestant: Contestant): boolean
  /** Throws where the contestant does not do it. */
  run(stage: Stage): Promise<void>
}

export const MARKS = { shown: '✔', notShown: '✘', notApplicable: '–' } as const

/** Packages with their installed versions. */
export function versioned(...names: readonly string[]): string {
  return names.map((name) => `\`${name}\` ${versionOf(name)}`).join(', ')
}

/** The first cells of a row, and the marks of the contestants. */
export function lineOf({ name, shows }: Pick<Row, 'name' | 'shows'>, marks: readonly string[]): string {
  return `| ${[name, shows, ...marks].join(' | ')} |`
}

/** The table's head. */
export function headOf([ours, ...peers]: readonly string[]): string[] {
  const columns = [`\`${ours}\``, ...peers.map((name) => versioned(name))]
  return [
    lineOf({ name: 'with', shows: 'a stream' }, columns),
    lineOf(
      { name: '---', shows: '---' },
      columns.map(() => '---')
    )
  ]
}

/** Resolves when the row has shown what it shows, and all that it started has ended. */
export async function runRow(row: Row, contestant: Contestant, order: Order): Promise<void> {
  const stage = new Stage(contestant, order)
  try {
    await row.run(stage)
  } finally {
    await stage.end()
  }
}

function versionOf(name: string): string {
  const url = new URL(`../../node_modules/${name}/package.json`, import.meta.url)
  const { version }: { version: string } = JSON.parse(readFileSync(url, 'utf8'))
  return version
}
