import { kill } from 'node:process'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

const ANSWERS = 'examples/answers.ts'
/** Its answer takes two seconds, and that to the other one, the longest that can be asked, forty: it is stopped. */
const SOME = 'why? '.repeat(4).trim()
const LONG = 'why? '.repeat(100).trim()

function wholeAnswerTo(question: string): string {
  return `You asked: ${question} `.repeat(8)
}

async function come(browser: Browser, url: string): Promise<Page> {
  const page = await openPage(browser)
  await page.goto(url)
  await untilLive(page)
  return page
}

/** Of the same user. */
async function openTab(page: Page): Promise<Page> {
  const tab = await page.context().newPage()
  await tab.goto(page.url())
  await untilLive(tab)
  return tab
}

async function untilLive(page: Page): Promise<void> {
  await page.locator('#state', { hasText: 'Live' }).waitFor()
}

/** Resolves with the path of the answer, when the first word of it is there. */
async function ask(page: Page, question: string): Promise<string> {
  const count = await page.locator('li').count()
  const asked = page.waitForRequest((request) => request.method() === 'PUT')
  await page.locator('#question').fill(question)
  await page.locator('#question').press('Enter')
  const path = new URL((await asked).url()).pathname
  await page
    .locator(`li:nth-child(${count + 1})`)
    .getByText('You asked:')
    .waitFor()
  return path
}

/** That of the newest question, when it is in this state. */
function answerOf(page: Page, state: string) {
  return page.locator(`li:last-child[data-state="${state}"]`).locator('.answer')
}

async function textOf(page: Page, state: string): Promise<string | null> {
  await answerOf(page, state).waitFor()
  return await answerOf(page, state).textContent()
}

async function noteOf(page: Page): Promise<string | null> {
  return await page.locator('li:last-child .note').textContent()
}

/** How the server answers this page, who asks for it with its cookie. */
async function statusOf(page: Page, method: string, path: string): Promise<number> {
  return await page.evaluate(async ([method, path]) => (await fetch(path, { method })).status, [
    method,
    path
  ] as const)
}

t.test('examples › answers › in a browser', async (answers) => {
  const { url, child } = await Child.listening(answers, ANSWERS, { WORD_MS: '50' })
  const browser = await launchChromium(answers)
  const ann = await come(browser, url)
  const complaints = complaintsOf(ann)

  await answers.test('an answer goes on while its page is loaded again', async (t) => {
    await ask(ann, SOME)
    await ann.reload()
    t.equal(await textOf(ann, 'done'), wholeAnswerTo(SOME))
    t.equal(child.output.match(/"msg":"run started"/g)?.length, 1)
  })

  await answers.test('the connection may break', async (t) => {
    await ask(ann, SOME)
    const isBack = ann.waitForRequest(/answers/)
    await ann.locator('#cut').click()
    await isBack
    t.equal(await textOf(ann, 'done'), wholeAnswerTo(SOME))
  })

  await answers.test('a second tab has the same, and stops it for both', async (t) => {
    const tab = await openTab(ann)
    t.equal(await textOf(tab, 'done'), wholeAnswerTo(SOME))
    await ask(ann, LONG)
    await answerOf(tab, 'running').waitFor()
    await ann.locator('#question').fill('meanwhile?')
    await ann.locator('#question').press('Enter')
    await ann.locator('#refusal', { hasText: 'One after the other, please.' }).waitFor()
    await tab.locator('li:last-child .stop').press('Enter')
    const text = await textOf(tab, 'stopped')
    t.equal(await textOf(ann, 'stopped'), text)
    t.ok(wholeAnswerTo(LONG).startsWith(text ?? '?'))
    t.same(await Promise.all([ann, tab].map(noteOf)), ['Stopped.', 'Stopped.'])
    await tab.close()
  })

  await answers.test('is told to who does not see it when it is whole', async (t) => {
    await ask(ann, LONG)
    t.equal(await answerOf(ann, 'running').getAttribute('aria-live'), 'polite')
    t.equal(await answerOf(ann, 'running').getAttribute('aria-busy'), 'true')
    await ann.locator('li:last-child .stop').click()
    await answerOf(ann, 'stopped').waitFor()
    t.equal(await answerOf(ann, 'stopped').getAttribute('aria-busy'), 'false')
    const focused = await ann.evaluate('document.activeElement.id')
    t.equal(focused, 'question', 'the button that had the focus is gone')
  })

  await answers.test('nobody else reads or stops it', async (t) => {
    const path = await ask(ann, SOME)
    const eve = await come(browser, url)
    t.equal(await eve.locator('li').count(), 0)
    t.same([await statusOf(eve, 'GET', path), await statusOf(eve, 'DELETE', path)], [404, 404])
    t.equal(await textOf(ann, 'done'), wholeAnswerTo(SOME))
    await eve.close()
  })

  await answers.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    t.same(await widthsThatScroll(ann), [])
  })

  answers.same(
    complaints.filter((complaint) => !complaint.includes('429')),
    [],
    'the page complained about nothing'
  )
  answers.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})

t.test('examples › answers › whose server is killed, is told to be lost', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const env = { NODES: '2', REDIS_URL: redis.url, WORD_MS: '50' }
  const { url, child } = await Child.listening(t, ANSWERS, env)
  await child.until(/(Server listening[\s\S]*){2}/)
  const page = await come(await launchChromium(t), url)
  await ask(page, LONG)
  kill(Number((await noteOf(page))?.replace('By process ', '')), 'SIGKILL')
  const half = await textOf(page, 'lost')
  t.ok(wholeAnswerTo(LONG).startsWith(half ?? '?'))
  t.equal(await noteOf(page), 'The rest is lost: its server is gone.')
  await page.locator('li:last-child .again').press('Enter')
  await answerOf(page, 'running').getByText('You asked:').waitFor()
  await page.locator('li:last-child .stop').click()
  await answerOf(page, 'stopped').waitFor()
})
