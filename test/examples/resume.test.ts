import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'

const RESUME = 'examples/resume.ts'
/** More than any run sees: the first build ends with its server. */
const LINES = 1_000_000

type Line = readonly [number: string, text: string]

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
  const lines = numbers.map((number, index): Line => [number, texts[index] ?? ''])
  return lines.filter(([number]) => number !== '')
}

/** The lines of the newest build, as its file has them. */
function published(file: string): Line[] {
  const records = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text) as { build: number; number?: number; text: string })
  const newest = records.filter(
    ({ build, number }) => build === records.at(-1)?.build && number !== undefined
  )
  return newest.map(({ number, text }, index) => {
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
    LINE_MS: '50'
  })
  const browser = await launchChromium(resume)
  const page = await openPage(browser)
  const late = await openPage(browser)
  const complaints = complaintsOf(page)
  let server = first

  await resume.test('misses no line and shows none twice, however often its connection is cut', async (t) => {
    await page.goto(url)
    await page.locator('html[data-state="live"]').waitFor({ state: 'attached' })
    await page.locator('#start').click()
    await untilShown(page, `[5/${LINES}] compiled lib/module-5.ts`)
    for (let cuts = 1; cuts <= 2; cuts++) {
      const before = (await shown(page)).length
      await cut(url)
      await page
        .locator('.mark')
        .nth(cuts - 1)
        .waitFor()
      t.equal(await textOf(page, 'reconnections'), String(cuts))
      await page.locator('.line').nth(before).waitFor()
    }
    t.equal(await textOf(page, 'build'), '1 is running')
    t.equal(await textOf(page, 'gaps'), '0')
    t.equal(await page.locator('.bad').count(), 0)
    const lines = await shown(page)
    t.same(lines, published(LOG_FILE).slice(0, lines.length))
    t.ok(Number(await textOf(page, 'received')) >= lines.length)
  })

  await resume.test('shows all lines also when it is opened in the middle, or loaded again', async (t) => {
    await late.goto(url)
    for (const load of ['opened', 'loaded again']) {
      await late.locator('.line').nth(20).waitFor()
      t.equal(await textOf(late, 'build'), '1 is running')
      const lines = await shown(late)
      t.same(lines, published(LOG_FILE).slice(0, lines.length), load)
      await late.reload()
    }
  })

  await resume.test('tells a gap when its server was restarted, and shows the whole log again', async (t) => {
    await server.kill('SIGKILL')
    await page.locator('html[data-state="reconnecting"]').waitFor({ state: 'attached' })
    const before = await shown(page)
    t.same(published(LOG_FILE).slice(0, before.length), before, 'nothing was shown that is not in the file')
    await late.close()

    const { port } = new URL(url)
    server = (await Child.listening(resume, RESUME, { LOG_FILE, PORT: port, LINES: '10', LINE_MS: '1' }))
      .child
    await untilShown(page, 'Build 1 was interrupted: its server was stopped')
    t.match(await page.locator('.bad').allTextContents(), [/^The server was restarted/])
    t.equal(await textOf(page, 'gaps'), '1')
    const interrupted = published(LOG_FILE)
    t.ok(interrupted.length >= before.length)
    t.same(await shown(page), interrupted)
    await page.locator('#start').click()
    await page.locator('.done').waitFor()
    t.equal(await textOf(page, 'build'), '2 has passed')
    const lines = published(LOG_FILE)
    t.equal(lines.length, 12)
    t.same(await shown(page), lines)
    await page.reload()
    await page.locator('.done').waitFor()
    t.same(await shown(page), lines)
    t.equal(await textOf(page, 'received'), '12')
    t.equal(await textOf(page, 'gaps'), '0', 'a new page is told no gap')
  })

  await resume.test('stops a build', async (t) => {
    await server.kill('SIGTERM')
    const { port } = new URL(url)
    server = (await Child.listening(resume, RESUME, { LOG_FILE, PORT: port, LINES: String(LINES) })).child
    await page.locator('#start').click()
    await untilShown(page, `[2/${LINES}] compiled lib/module-2.ts`)
    await page.locator('#stop').click()
    await page.locator('.stopped').waitFor()
    t.equal(await textOf(page, 'build'), '3 was stopped')
  })

  await resume.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    t.same(await widthsThatScroll(page), [])
  })

  resume.same(complaints, [], 'the page complained about nothing')
  resume.notMatch(first.output + server.output, /"level":(50|60)/, 'nothing is logged as an error')
})
