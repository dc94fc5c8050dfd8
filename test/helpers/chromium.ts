import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

interface Test {
  teardown(fn: () => unknown): void
}

/** Where Debian has it. */
const EXECUTABLE = '/usr/bin/chromium'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** A headless Chromium with a new profile, closed when the test ends. */
export async function launchChromium(t: Test): Promise<Browser> {
  if (!existsSync(EXECUTABLE)) {
    throw new Error(
      `This test needs Chromium at ${EXECUTABLE}: apt-get update && apt-get install -y --no-install-recommends chromium`
    )
  }
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS })
  t.teardown(() => browser.close())
  return browser
}
