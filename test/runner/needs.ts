import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { PROGRAMS, type ProgramName } from '../helpers/programs.ts'

/** Imports and re-exports of values, as they stand at the beginning of a line. */
const STATIC =
  /^(?:import|export)\s+(?!type\b)(?:(?:(?!\b(?:import|export)\b)[\w\s{},*$])*\bfrom\s*)?'([^']+)'/gm
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)|\bnew URL\(\s*'([^']+\.[jt]s)',\s*import\.meta\.url\s*\)/g

/** What test files need besides Node, told from what they import, directly or not. */
export class Needs {
  readonly #programOf: ReadonlyMap<string, ProgramName>
  readonly #imports = new Map<string, readonly string[]>()

  /** @param folder - where each program has a module that starts it. */
  constructor(folder: string) {
    const names = Object.keys(PROGRAMS) as ProgramName[]
    this.#programOf = new Map(names.map((name) => [join(folder, `${name}.ts`), name]))
  }

  /** In the order of the table of programs. */
  of(file: string): ProgramName[] {
    const seen = new Set<string>()
    const open = [resolve(file)]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue
      seen.add(next)
      open.push(...this.#importsOf(next))
    }
    return [...this.#programOf].filter(([module]) => seen.has(module)).map(([, name]) => name)
  }

  #importsOf(file: string): readonly string[] {
    const known = this.#imports.get(file)
    if (known !== undefined) return known
    const imports = importsIn(readFileSync(file, 'utf8'))
      .map((specifier) => resolve(dirname(file), specifier))
      .filter((path) => existsSync(path))
    this.#imports.set(file, imports)
    return imports
  }
}

/** The paths of other files in the project, as they stand in a module that needs them to run. */
export function importsIn(code: string): string[] {
  const found = [...code.matchAll(STATIC), ...code.matchAll(DYNAMIC)].map(
    ([, first, second]) => first ?? second
  )
  return found
    .filter((specifier) => specifier !== undefined)
    .filter((specifier) => /^\.\.?\//.test(specifier))
}
