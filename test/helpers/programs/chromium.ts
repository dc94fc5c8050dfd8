import { type Browser, chromium as playwright } from 'playwright-core'
import { type BrowserProgram, environmentIn, type Test } from '../browser.ts'
import { removeFolder, temporaryFolder, watchOver } from '../guardian.ts'
import { executableOf } from '../programs.ts'

export const chromium: BrowserProgram = {
  name: 'chromium',
  browser: 'chrome',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic']
}

const FLAGS = [
  ...chromium.args,
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** A headless Chromium with a new profile, closed when the test ends. */
export async function launchChromium(t: Test): Promise<Browser> {
  const executablePath = executableOf('chromium')
  const home = temporaryFolder('chromium')
  const env = environmentIn(home)
  const browser = await watchOver(() =>
    playwright.launch({ executablePath, headless: true, args: FLAGS, timeout: 0, env })
  )
  t.teardown(async () => {
    await browser.close()
    removeFolder(home)
  })
  return browser
}
