import type { Page } from 'playwright-core'

/** What the page complained about, but for the connections that were broken off under it. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error.stack)))
  page.on('console', (message) => {
    if (!/^Failed to load resource: net::ERR_/.test(message.text())) complaints.push(message.text())
  })
  return complaints
}
