import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { findProgram, PROGRAMS, type ProgramName, waysToHave } from './programs.ts'

const names = Object.keys(PROGRAMS) as ProgramName[]
/** Without Firefox they do, but not in CI. */
const needed = names.filter((name) => name !== 'firefox' || process.env.CI === 'true')
const missing = needed.filter((name) => findProgram(name) === undefined)

if (missing.length > 0) {
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) {
    const titles = missing.map((name) => PROGRAMS[name].title)
    for (const line of [`The tests need ${titles.join(', ')}.`, ...waysToHave(missing)]) console.error(line)
    process.exit(1)
  }
  const packages = missing.map((name) => PROGRAMS[name].debian)
  const options = { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const
  execFileSync('apt-get', ['update'], options)
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', ...packages], options)
}
