import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, PuppeteerNode } from 'puppeteer-core'

interface Test {
  teardown(fn: () => unknown): void
}

/** Not by `import`: tap's loader looks for `BidiMapper.js.js`, which puppeteer's ES modules do not ask for. */
const puppeteer: PuppeteerNode = createRequire(import.meta.url)('puppeteer-core').default

interface Program {
  readonly browser: 'chrome' | 'firefox'
  /** Debian's package, and where it has the program. */
  readonly debian: string
  readonly executable: string
  readonly args: string[]
  readonly isRequired: boolean
}

/** With these, pages in the background would be treated better than those of users. */
const PAMPERING = [
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding'
]

const PROGRAMS = {
  Chromium: {
    browser: 'chrome',
    debian: 'chromium',
    executable: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
    isRequired: true
  },
  Firefox: {
    browser: 'firefox',
    debian: 'firefox-esr',
    executable: '/usr/bin/firefox-esr',
    args: [],
    isRequired: process.env.CI === 'true'
  }
} as const satisfies Record<string, Program>

export type BrowserName = keyof typeof PROGRAMS

/**
 * A headless browser that accepts any certificate, gone with all that it wrote when the test ends. It runs with a new
 * profile.
 *
 * @returns `undefined` if it is not there and need not be.
 */
export async function launchBrowser(t: Test, name: BrowserName): Promise<Browser | undefined> {
  const { browser, debian, executable, args, isRequired }: Program = PROGRAMS[name]
  if (!existsSync(executable)) {
    if (!isRequired) return undefined
    throw new Error(
      `This test needs ${name} at ${executable}: apt-get update && apt-get install -y --no-install-recommends ${debian}`
    )
  }
  const home = mkdtempSync(join(tmpdir(), `${debian}-`))
  const removeHome = (): void => rmSync(home, { recursive: true, force: true, maxRetries: 3 })
  const launched = await puppeteer.launch({
    browser,
    executablePath: executable,
    args,
    ignoreDefaultArgs: PAMPERING,
    acceptInsecureCerts: true,
    userDataDir: join(home, 'profile'),
    env: { ...process.env, HOME: home }
  })
  const child = launched.process()
  // The runner ends a test that takes too long by SIGALRM, and soon after by SIGKILL: no time for a browser to close.
  const abandon = (): void => {
    child?.kill('SIGKILL')
    removeHome()
  }
  process.once('exit', abandon).once('SIGALRM', abandon)
  t.teardown(async () => {
    await launched.close()
    removeHome()
    process.off('exit', abandon).off('SIGALRM', abandon)
  })
  return launched
}
