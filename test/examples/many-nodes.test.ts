import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

const MANY_NODES = 'examples/many-nodes.ts'

async function untilLiveAt(page: Page, node: number): Promise<void> {
  await page.locator('#state', { hasText: `Live at node ${node}` }).waitFor()
}

async function numberIn(page: Page, id: string): Promise<number> {
  return Number((await page.locator(`#${id}`).textContent())?.replaceAll(',', ''))
}

/** Waits for more than came so far. */
async function untilMore(page: Page): Promise<void> {
  const received = await numberIn(page, 'received')
  await page.waitForFunction(`Number(received.textContent.replaceAll(',', '')) > ${received}`)
}

/** By what the page says, and by what it lists. */
async function checkNothingIsWrong(t: Test, page: Page): Promise<void> {
  await untilMore(page)
  t.same([await numberIn(page, 'missing'), await numberIn(page, 'twice')], [0, 0])
  const texts = await page.locator('#messages .count').allTextContents()
  const counts = texts.map((text) => Number.parseInt(text.replaceAll(',', ''), 10))
  const isNext = counts.map((count, i) => i === 0 || count === 1 || count === (counts[i - 1] ?? 0) + 1)
  t.ok(counts.length > 50 && isNext.every(Boolean), counts.join(' '))
}

/** By the node's place in the list. */
async function pressedIn(page: Page): Promise<(string | null)[]> {
  const buttons = await page.locator('.read').all()
  return await Promise.all(buttons.map((button) => button.getAttribute('aria-pressed')))
}

t.test('examples › many nodes › in a browser', async (nodes) => {
  const redis = await RedisServer.start()
  nodes.teardown(() => redis.stop())
  const env = { REDIS_URL: redis.url, COUNT_MS: '10' }
  const { child: first, url } = await Child.listening(nodes, MANY_NODES, env)
  const page = await openPage(await launchChromium(nodes))
  const complaints = complaintsOf(page)
  await page.goto(url)
  await untilLiveAt(page, 1)

  await nodes.test('who is cut thirty times goes on at the next node', async (t) => {
    for (let i = 0; i < 30; i++) {
      await page.getByRole('button', { name: `Cut node ${(i % 3) + 1}` }).click()
      await untilLiveAt(page, ((i + 1) % 3) + 1)
      await untilMore(page)
    }
    await checkNothingIsWrong(t, page)
  })

  await nodes.test('who leaves goes on where one says', async (t) => {
    await page.getByRole('button', { name: 'Read here, at node 3' }).press('Enter')
    await untilLiveAt(page, 3)
    t.same(await pressedIn(page), ['false', 'false', 'true'])
    t.equal(await page.getByText('Reads here').filter({ visible: true }).count(), 1)
    await page.getByRole('button', { name: 'Cut node 1' }).click()
    await checkNothingIsWrong(t, page)
    t.match(await page.locator('#state').textContent(), 'Live at node 3')
  })

  await nodes.test('who was there before a restart misses nothing, also of what came before', async (t) => {
    await first.kill('SIGKILL')
    await page.locator('#state', { hasText: 'Reconnecting' }).waitFor()
    await Child.listening(nodes, MANY_NODES, { ...env, PORT: new URL(url).port })
    await page.locator('#state', { hasText: 'Live' }).waitFor()
    await checkNothingIsWrong(t, page)
  })

  await nodes.test('says that something may be lost when Redis has lost it', async (t) => {
    await redis.command('FLUSHALL')
    await page.locator('#messages .gap').waitFor()
    await untilMore(page)
    t.same([await numberIn(page, 'missing'), await numberIn(page, 'twice')], [0, 0])
  })

  await nodes.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    t.same(await widthsThatScroll(page), [])
  })

  nodes.same(complaints, [], 'the page complained about nothing')
  nodes.notMatch(first.output, /"level":(50|60)/, 'nothing is logged as an error')
})
