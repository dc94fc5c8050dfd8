import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Browser, PuppeteerNode } from 'puppeteer-core'
import { removeFolder, temporaryFolder, watchOver } from './guardian.ts'
import { executableOf } from './programs.ts'

export interface Test {
  teardown(fn: () => unknown): void
}

/** Not by `import`: tap's loader looks for `BidiMapper.js.js`, which puppeteer's ES modules do not ask for. */
const puppeteer: PuppeteerNode = createRequire(import.meta.url)('puppeteer-core').default

/** Which one, as `programs/` has them. */
export interface BrowserProgram {
  readonly name: 'chromium' | 'firefox'
  readonly browser: 'chrome' | 'firefox'
  readonly args: string[]
}

/** With these, pages in the background would be treated better than those of users. */
const PAMPERING = [
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding'
]

/**
 * A headless browser that accepts any certificate, gone with all that it wrote when the test ends. It runs with a new
 * profile.
 */
export async function launchBrowser(t: Test, { name, browser, args }: BrowserProgram): Promise<Browser> {
  const executablePath = executableOf(name)
  const home = temporaryFolder(name)
  const launched = await watchOver(() =>
    puppeteer.launch({
      browser,
      executablePath,
      args,
      ignoreDefaultArgs: PAMPERING,
      acceptInsecureCerts: true,
      userDataDir: join(home, 'profile'),
      timeout: 0,
      protocolTimeout: 0,
      env: environmentIn(home)
    })
  )
  t.teardown(async () => {
    await launched.close()
    removeFolder(home)
  })
  return launched
}

/** In which a browser writes nowhere else. */
export function environmentIn(home: string): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('XDG_')
  )
  return { ...Object.fromEntries(inherited), HOME: home, TMPDIR: home }
}
