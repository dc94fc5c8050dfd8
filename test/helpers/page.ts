import type { Browser, Page } from 'playwright-core'

/** From a phone to a wide screen, in pixels. */
const WIDTHS = [320, 390, 820, 1280, 2560]

/** A page in a profile of its own. What is waited for in it has no deadline but the runner's. */
export async function openPage(browser: Browser): Promise<Page> {
  const context = await browser.newContext()
  context.setDefaultTimeout(0)
  return await context.newPage()
}

/** What the page complained about, but for the connections that were broken off under it. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error.stack)))
  page.on('console', (message) => {
    if (!/^Failed to load resource: net::ERR_/.test(message.text())) complaints.push(message.text())
  })
  return complaints
}

/** At which widths the page scrolls sideways. */
export async function widthsThatScroll(page: Page): Promise<number[]> {
  const found: number[] = []
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 })
    if ((await page.evaluate('document.documentElement.scrollWidth')) !== width) found.push(width)
  }
  return found
}

/** From now on the page's timers, and time as it reads it, stand still but for `page.clock.runFor()`. */
export async function stopClock(page: Page): Promise<void> {
  await page.clock.install({ time: 0 })
  await page.clock.pauseAt(1_000)
}
