import { readdirSync, readFileSync } from 'node:fs'

export const ROOT = new URL('../../', import.meta.url)
const GUIDES = new URL('examples/guides/', ROOT)

export const README_FILE = new URL('README.md', ROOT)
export const GUIDE_FILES = readdirSync(GUIDES).map((name) => new URL(name, GUIDES))
/** All that a user reads. */
export const MANUAL_FILES = [README_FILE, ...GUIDE_FILES]
/** The page for who reads the code. */
export const ARCHITECTURE_FILE = new URL('lib/README.md', ROOT)
/** What is read in the repository, and not in the package. */
export const REPOSITORY_FILES = [
  ARCHITECTURE_FILE,
  new URL('.github/CONTRIBUTING.md', ROOT),
  new URL('.github/SECURITY.md', ROOT)
]
const MANUAL = MANUAL_FILES.map(textOf).join('\n')

export function guide(name: string): string {
  return textOf(new URL(`${name}.md`, GUIDES))
}

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

/** The fenced blocks of one language in the README and the guides, in order. */
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

/** Those of the guide to moving: the first line of theirs names the library, and ours is the next block. Files are no pairs. */
export function pairs(): Pair[] {
  const all = blocks('ts')
  return all.flatMap((theirs, at) => {
    const [, name = ''] = /^\/\/ (\S+)\n/.exec(theirs) ?? []
    return /^$|^fastify-eventstream$|\.ts$/.test(name) ? [] : [{ name, theirs, ours: all[at + 1] ?? '' }]
  })
}

/** The programs that are of no pair, nor files of a project: the first one of all, and the examples of the guides. */
export function programs(): { quickStart: string; examples: string[] } {
  const [quickStart = '', ...examples] = blocks('ts').filter((code) => !code.startsWith('// '))
  return { quickStart, examples }
}

/** Whether an example begins with a server of its own. */
export function isOfServer(code: string): boolean {
  return code.includes('app.register(eventStream')
}

/** The rows of the table in a guide whose head begins with `column`, cell by cell, without their backticks. */
export function table(name: string, column: string): string[][] {
  const text = guide(name)
  const lines = text.slice(text.indexOf(`| ${column} |`)).split('\n')
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
