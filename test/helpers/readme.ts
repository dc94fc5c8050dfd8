import { readdirSync, readFileSync } from 'node:fs'

const GUIDES = new URL('../../examples/guides/', import.meta.url)

/** The README, and the guides that it leads to. */
export const MANUAL_FILES = [
  new URL('../../README.md', import.meta.url),
  ...readdirSync(GUIDES).map((name) => new URL(name, GUIDES))
]
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
