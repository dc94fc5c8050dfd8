import axe from 'axe-core'
import type { Frame, Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { freePort } from '../helpers/free-port.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

const START = 'examples/start.ts'
/** What each page says when its stream is there. */
const EXAMPLES = {
  'Vital signs': 'Live',
  Chat: 'Live',
  Answers: 'Live',
  'Build log': 'Live',
  'Many tabs': 'Live',
  'Many nodes': 'Live'
}

t.test('npm start', async (start) => {
  const redis = await RedisServer.start()
  start.teardown(() => redis.stop())
  const env = { LOG_FILE: `${start.testdir()}/builds.log`, REDIS_URL: redis.url }
  const { url } = await Child.listening(start, START, env)
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
    await frameOf(page, 'Source of Many nodes').getByText('export default async function').waitFor()
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
    const second = new Child(t, START, { ...env, PORT: port })
    await second.until(new RegExp(`Port ${port} of localhost is taken`))
    t.same(await second.exited, { code: 1, signal: null })
  })

  await start.test('says what many nodes need where nothing answers at REDIS_URL', async (t) => {
    const env = { LOG_FILE: `${t.testdir()}/builds.log`, REDIS_URL: `redis://localhost:${await freePort()}` }
    const { url } = await Child.listening(t, START, env)
    const page = await openPage(browser)
    await page.goto(url)
    await page.getByText('Needs a Redis, but there is none at REDIS_URL.').waitFor()
  })

  await start.test('says what many nodes need where there is no Redis, and shows the others', async (t) => {
    const folder = t.testdir()
    const without = { LOG_FILE: `${folder}/builds.log`, REDIS_URL: '', PATH: folder }
    const { url } = await Child.listening(t, START, without)
    const page = await openPage(browser)
    const complaints = complaintsOf(page)
    await page.goto(`${url}/#many-nodes`)
    for (const [name, state] of Object.entries(EXAMPLES)) {
      if (name === 'Many nodes') continue
      await page.getByRole('link', { name, exact: true }).click()
      await frameOf(page, name).locator('#state', { hasText: state }).waitFor()
    }
    t.equal(await page.getByRole('link', { name: 'many nodes' }).count(), 0)
    const need = page.getByText('Needs a redis-server: install it, or set REDIS_URL.')
    await need.waitFor()
    t.same(await barriersIn(page.mainFrame()), [])
    t.same(await widthsThatScroll(page), [])
    await page.setViewportSize({ width: 320, height: 600 })
    t.ok(await need.isVisible(), 'on a phone, too')
    t.same(complaints, [])
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
