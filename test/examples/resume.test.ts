import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { launchChromium } from '../helpers/chromium.ts'
import { complaintsOf } from '../helpers/page.ts'

const RESUME = 'examples/resume.ts'
const LINES = 800

type Line = readonly [number: string, text: string]

async function startBuild(url: string): Promise<number> {
  return (await fetch(`${url}/builds`, { method: 'POST' })).status
}

async function cut(url: string): Promise<void> {
  const { status } = await fetch(`${url}/cut`, { method: 'POST' })
  if (status !== 204) throw new Error(`the cut was answered with ${status}`)
}

async function textOf(page: Page, id: string): Promise<string> {
  return (await page.locator(`#${id}`).textContent()) ?? ''
}

/** The lines that the page shows. */
async function shown(page: Page): Promise<Line[]> {
  const numbers = await page.locator('.line span').allTextContents()
  const texts = await page.locator('.line code').allTextContents()
  return numbers.map((number, index) => [number, texts[index] ?? ''])
}

/** The lines that were published, as the log's file has them. */
function published(file: string): Line[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  return lines.map((line, index) => {
    const { number, text } = JSON.parse(line)
    if (number !== index + 1) throw new Error(`line ${number} is at the place of line ${index + 1}`)
    return [String(number), text]
  })
}

/** Waits until the page shows the line with this text, of which there must not be two. */
async function untilShown(page: Page, text: string): Promise<void> {
  await page.locator('#log').getByText(text, { exact: true }).waitFor()
}

t.test('examples › resume', async (resume) => {
  const LOG_FILE = join(resume.testdir({}), 'builds.log')
  const { child: first, url } = await Child.listening(resume, RESUME, {
    LOG_FILE,
    LINES: String(LINES),
    LINE_MS: '10'
  })
  const browser = await launchChromium(resume)
  const page = await browser.newPage()
  const complaints = complaintsOf(page)
  let server = first

  await resume.test('misses no line and shows none twice, however often its connection is cut', async (t) => {
    await page.goto(url)
    await page.locator('html[data-state="live"]').waitFor({ state: 'attached' })
    await page.locator('#start').click()
    await untilShown(page, `[20/${LINES}] compiled lib/module-20.ts`)
    for (let cuts = 1; cuts <= 3; cuts++) {
      const isBack = page.waitForResponse(/\/log/)
      t.equal(await textOf(page, 'build'), '1 is running')
      await cut(url)
      await isBack
      await page
        .locator('.mark')
        .nth(cuts - 1)
        .waitFor()
      t.equal(await textOf(page, 'reconnections'), String(cuts))
    }
    const late = await browser.newPage()
    await late.goto(url)
    await untilShown(late, 'Build 1 has begun')
    t.equal(await textOf(late, 'build'), '1 is running')

    for (const reader of [page, late]) await untilShown(reader, 'Build 1 has passed')
    const lines = published(LOG_FILE)
    t.equal(lines.length, LINES + 2)
    t.same(await shown(page), lines)
    t.equal(await textOf(page, 'received'), String(lines.length))
    t.equal(await textOf(page, 'gaps'), '0')
    t.equal(await page.locator('.bad').count(), 0)
    t.same(await shown(late), lines, 'also when it was opened in the middle')
    await late.reload()
    await untilShown(late, 'Build 1 has passed')
    t.same(await shown(late), lines, 'also when it was loaded again')
    await late.close()
  })

  await resume.test('runs one build at a time', async (t) => {
    t.equal(await startBuild(url), 202)
    t.equal(await startBuild(url), 409)
  })

  await resume.test('tells a gap when its server was restarted, and shows the whole log again', async (t) => {
    await page.locator('.line', { hasText: 'Build 2 has begun' }).waitFor()
    await page
      .locator('.line', { hasText: `[30/${LINES}]` })
      .nth(1)
      .waitFor()
    await server.kill('SIGKILL')
    await page.locator('html[data-state="reconnecting"]').waitFor({ state: 'attached' })
    const before = await shown(page)
    t.ok(before.length < 2 * LINES, 'in the middle of a build')
    t.same(published(LOG_FILE).slice(0, before.length), before, 'nothing was shown that is not in the file')

    const { port } = new URL(url)
    server = (await Child.listening(resume, RESUME, { LOG_FILE, PORT: port, LINES: '10', LINE_MS: '1' }))
      .child
    await untilShown(page, 'The server stopped before the build was done')
    t.match(await page.locator('.bad').allTextContents(), [/^The server was restarted/])
    t.equal(await textOf(page, 'gaps'), '1')
    t.equal(await textOf(page, 'build'), '2 was interrupted')
    await page.locator('#start').click()
    await untilShown(page, 'Build 3 has passed')
    const lines = published(LOG_FILE)
    t.ok(lines.length >= before.length + 1 + 12)
    t.same(await shown(page), lines)
    await page.reload()
    await untilShown(page, 'Build 3 has passed')
    t.same(await shown(page), lines)
    t.equal(await textOf(page, 'gaps'), '0', 'a new page is told no gap')
  })

  await resume.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    for (const width of [320, 390, 820, 1280, 2560]) {
      await page.setViewportSize({ width, height: 900 })
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, `${width} pixels`)
    }
  })

  resume.same(complaints, [], 'the page complained about nothing')
  resume.notMatch(first.output + server.output, /"level":(50|60)/, 'nothing is logged as an error')
})
