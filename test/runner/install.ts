import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { PROGRAMS, type ProgramName } from '../helpers/programs.ts'

/** Whether this is root on Debian or Ubuntu, and `TEST_SETUP=no` does not forbid it. */
export function mayInstall(): boolean {
  return process.env.TEST_SETUP !== 'no' && process.getuid?.() === 0 && existsSync('/etc/debian_version')
}

/** Installs as many as can be had, and prints why another cannot. Some of Ubuntu's are no packages of its own. */
export function install(names: readonly ProgramName[]): void {
  aptGet('update')
  for (const name of names) aptGet('install', '-y', '--no-install-recommends', PROGRAMS[name].debian)
}

function aptGet(...args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const { status, stdout, stderr, error } = spawnSync('apt-get', args, { encoding: 'utf8', env })
  if (status !== 0) console.error(`apt-get ${args.join(' ')} failed:\n${error ?? stdout + stderr}`)
}
