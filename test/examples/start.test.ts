import axe from 'axe-core'
import type { Frame, Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'

const START = 'examples/start.ts'
/** What each page says when its stream is there. */
const EXAMPLES = {
  'Vital signs': 'Live',
  Chat: 'Live',
  Answers: 'Live',
  'Build log': 'Live',
  'Many tabs': 'Live'
}

t.test('npm start', async (start) => {
  const { url } = await Child.listening(start, START, { LOG_FILE: `${start.testdir()}/builds.log` })
  const browser = await launchChromium(start)

  await start.test('shows each example, and its source a click away', async (t) => {
    const page = await openPage(browser)
    const complaints = complaintsOf(page)
    await page.goto(url)
    for (const [name, state] of Object.entries(EXAMPLES)) {
      await page.getByRole('link', { name, exact: true }).click()
      await frameOf(page, name).locator('#state', { hasText: state }).waitFor()
      await page.getByRole('link', { name: new RegExp(`^Source of .*${name}`, 'i') }).click()
      await frameOf(page, `Source of ${name}`).getByText('export default async function').waitFor()
      t.equal(await page.locator('[aria-current=page]').textContent(), name)
    }
    await page.reload()
    await frameOf(page, 'Source of Many tabs').getByText('export default async function').waitFor()
    t.same(complaints, [])
  })

  await start.test('is there for everybody, in light and dark', async (t) => {
    const page = await openPage(browser)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      for (const [name, state] of Object.entries(EXAMPLES)) {
        await page.goto(url)
        await page.getByRole('link', { name, exact: true }).click()
        await frameOf(page, name).locator('#state', { hasText: state }).waitFor()
        for (const frame of page.frames()) t.same(await barriersIn(frame), [], `${name}, ${colorScheme}`)
      }
    }
  })

  await start.test('scrolls sideways at no width', async (t) => {
    const page = await openPage(browser)
    await page.goto(url)
    t.same(await widthsThatScroll(page), [])
  })

  await start.test('says that its port is taken', async (t) => {
    const { port } = new URL(url)
    const second = new Child(t, START, { PORT: port })
    await second.until(new RegExp(`Port ${port} of localhost is taken`))
    t.same(await second.exited, { code: 1, signal: null })
  })
})

function frameOf(page: Page, title: string) {
  return page.frameLocator(`iframe[title="${title}"]`)
}

/** What axe finds that keeps people out. */
async function barriersIn(frame: Frame): Promise<unknown> {
  await frame.evaluate(axe.source)
  const found =
    "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))"
  return await frame.evaluate(found)
}
