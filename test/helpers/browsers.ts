import type { Browser } from 'puppeteer-core'
import { launchBrowser as launch } from './browser.ts'
import { chromium } from './programs/chromium.ts'
import { firefox } from './programs/firefox.ts'

interface Test {
  teardown(fn: () => unknown): void
}

const PROGRAMS = { Chromium: chromium, Firefox: firefox }

export type BrowserName = keyof typeof PROGRAMS

export async function launchBrowser(t: Test, name: BrowserName): Promise<Browser | undefined> {
  return await launch(t, PROGRAMS[name])
}
