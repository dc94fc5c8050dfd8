import { readdirSync, readFileSync } from 'node:fs'

const GUIDES = new URL('../../examples/guides/', import.meta.url)

/** The README, and the guides that it leads to. */
export const MANUAL_FILES = [
  new URL('../../README.md', import.meta.url),
  ...readdirSync(GUIDES).map((name) => new URL(name, GUIDES))
]
/** The page for who reads the code. */
export const ARCHITECTURE_FILE = new URL('../../lib/README.md', import.meta.url)
const MANUAL = MANUAL_FILES.map(textOf).join('\n')

export function textOf(file: URL): string {
  return readFileSync(file, 'utf8')
}

/** What links may name in a Markdown file: its headings, as GitHub writes them. */
export function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-')
  )
}

/** The fenced blocks of one language in the README and its guides, in order. */
export function blocks(language: string): string[] {
  return [...MANUAL.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, code = '']) => code
  )
}

/** Programs that do the same, one with another library and one with this one. */
export interface Pair {
  readonly name: string
  readonly theirs: string
  readonly ours: string
}

/** Those of the guide to moving: the first line of theirs names the library, and ours is the next block. */
export function pairs(): Pair[] {
  const all = blocks('ts')
  return all.flatMap((theirs, at) => {
    const [, name = ''] = /^\/\/ (\S+)\n/.exec(theirs) ?? []
    return ['', 'fastify-eventstream'].includes(name) ? [] : [{ name, theirs, ours: all[at + 1] ?? '' }]
  })
}

/** The programs that are of no pair: the first one, and those of the guides. */
export function programs(): { quickStart: string; guides: string[] } {
  const [quickStart = '', ...guides] = blocks('ts').filter((code) => !code.startsWith('// '))
  return { quickStart, guides }
}

/** Whether a guide begins with a server of its own. */
export function isOfServer(code: string): boolean {
  return code.includes('app.register(eventStream')
}

/** The rows of the table there whose head begins with `column`, cell by cell, without their backticks. */
export function table(column: string): string[][] {
  const lines = MANUAL.slice(MANUAL.indexOf(`| ${column} |`)).split('\n')
  const rows = lines.slice(
    2,
    lines.findIndex((line) => !line.startsWith('|'))
  )
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^`(.*)`$/, '$1'))
  )
}
