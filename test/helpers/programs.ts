import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** One program that tests start. */
interface Program {
  /** What people call it. */
  readonly title: string
  /** Debian's package. */
  readonly debian: string
  /** What Homebrew is asked to install, if it has it. */
  readonly brew?: string
  /** Where it is looked for before the `PATH`. */
  readonly paths: readonly string[]
  /** What it may be called on the `PATH`. */
  readonly commands: readonly string[]
}

/** By the names of the modules in `programs/`: a test needs a program if it imports its module, itself or by others. */
export const PROGRAMS = {
  'redis-server': {
    title: 'Redis',
    debian: 'redis-server',
    brew: 'redis',
    paths: [],
    commands: ['redis-server', 'valkey-server']
  },
  nginx: {
    title: 'nginx',
    debian: 'nginx',
    brew: 'nginx',
    paths: ['/usr/sbin/nginx'],
    commands: ['nginx']
  },
  haproxy: {
    title: 'HAProxy',
    debian: 'haproxy',
    brew: 'haproxy',
    paths: ['/usr/sbin/haproxy'],
    commands: ['haproxy']
  },
  chromium: {
    title: 'Chromium',
    debian: 'chromium',
    brew: '--cask chromium',
    paths: [
      '/usr/bin/chromium',
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
    ],
    commands: ['chromium', 'chromium-browser', 'google-chrome']
  },
  webkit: {
    title: 'WebKit',
    debian: 'webkit2gtk-driver',
    paths: ['/usr/bin/WebKitWebDriver'],
    commands: ['WebKitWebDriver']
  },
  xvfb: {
    title: 'Xvfb',
    debian: 'xvfb',
    paths: ['/usr/bin/Xvfb'],
    commands: ['Xvfb']
  },
  firefox: {
    title: 'Firefox',
    debian: 'firefox-esr',
    brew: '--cask firefox',
    paths: ['/usr/bin/firefox-esr', '/Applications/Firefox.app/Contents/MacOS/firefox'],
    commands: ['firefox-esr', 'firefox']
  }
} as const satisfies Record<string, Program>

export type ProgramName = keyof typeof PROGRAMS

/** @returns the file to start, or `undefined` if the program is not there. */
export function findProgram(name: ProgramName): string | undefined {
  const { paths, commands }: Program = PROGRAMS[name]
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const onPath = commands.flatMap((command) => folders.map((folder) => join(folder, command)))
  return [...paths, ...onPath].find(isExecutable)
}

/** @throws with how to have the program, if it is not there. */
export function executableOf(name: ProgramName): string {
  const file = findProgram(name)
  if (file !== undefined) return file
  throw new Error([`This test needs ${PROGRAMS[name].title}.`, ...waysToHave([name])].join('\n'))
}

/** How to have programs that are not there, one line for each way. */
export function waysToHave(names: readonly ProgramName[]): string[] {
  const programs: Program[] = names.map((name) => PROGRAMS[name])
  const debian = programs.map((program) => program.debian).join(' ')
  const brews = programs.flatMap(({ brew }) => (brew === undefined ? [] : [`brew install ${brew}`]))
  return [
    `As root on Debian or Ubuntu: apt-get update && apt-get install -y --no-install-recommends ${debian}`,
    ...(brews.length === 0 ? [] : [`With Homebrew: ${brews.join(' && ')}`])
  ]
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
