import type { Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'

const DEMO = 'examples/demo/server.ts'
const PLOTS = ['cpu', 'memory', 'delay', 'streams', 'events']
const METRICS = ['connections', 'messages', 'bytes', 'slices', 'losses']

/**
 * In the page: time as it reads it goes by only when it is told to. So silence is what a test makes of it, and no slow
 * machine is taken for one.
 */
const STILL_CLOCK = `{
  let now = performance.now()
  performance.now = () => now
  globalThis.advance = (ms) => { now += ms }
}`

/** Waits until the page is in this state, and says so. */
async function untilState(page: Page, state: string, text: string): Promise<void> {
  await page.locator(`html[data-state="${state}"]`).waitFor({ state: 'attached' })
  await page.locator('#state', { hasText: text }).waitFor()
}

/** Waits until the element with this id shows something else than `before`. @returns what it shows then. */
async function untilOtherThan(page: Page, id: string, before: string): Promise<string> {
  const shown = await page.waitForFunction(
    `(() => {
      const text = document.getElementById(${JSON.stringify(id)}).textContent
      return text !== ${JSON.stringify(before)} && text
    })()`
  )
  return String(await shown.jsonValue())
}

/** Waits until the element with this id shows exactly this. */
async function untilShown(page: Page, id: string, text: string): Promise<void> {
  await page.waitForFunction(
    `document.getElementById(${JSON.stringify(id)}).textContent === ${JSON.stringify(text)}`
  )
}

async function textOf(page: Page, id: string): Promise<string> {
  return (await page.locator(`#${id}`).textContent()) ?? ''
}

/** Waits until new readings arrive and their values are shown. */
async function valuesMove(page: Page): Promise<void> {
  const [id, delay] = [await textOf(page, 'last-id'), await textOf(page, 'delay-value')]
  await untilOtherThan(page, 'last-id', id)
  await untilOtherThan(page, 'delay-value', delay)
}

/** Lets the page's time go by until it has given its silent stream up: what was on its way may still come. */
async function untilSilenceIsNoticed(page: Page): Promise<void> {
  await page.waitForFunction(`(advance(5_000), document.documentElement.dataset.state === 'reconnecting')`)
}

/** Waits until the plot has pixels of this colour. */
async function untilDrawnIn(page: Page, plot: string, color: string): Promise<void> {
  await page.waitForFunction(`(() => {
    const wanted = [1, 3, 5].map((at) => Number.parseInt(${JSON.stringify(color)}.slice(at, at + 2), 16))
    const canvas = document.querySelector('#${plot} canvas')
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] > 250 && wanted.every((value, part) => Math.abs(data[at + part] - value) < 4)) return true
    }
    return false
  })()`)
}

t.test('demo', async (demo) => {
  const { child: first, url } = await Child.listening(demo, DEMO)
  const browser = await launchChromium(demo)
  const page = await openPage(browser)
  await page.addInitScript(STILL_CLOCK)
  const complaints = complaintsOf(page)
  const metricsTab = page.getByRole('tab', { name: 'Metrics' })
  const metricsPanel = page.getByRole('tabpanel', { name: 'Metrics' })
  let server = first

  await demo.test('shows live values of this machine', async (t) => {
    await page.goto(url)
    await untilState(page, 'live', 'Live')
    await valuesMove(page)
    for (const plot of PLOTS) {
      t.equal(await page.locator(`#${plot} canvas`).count(), 1, plot)
      t.match(await textOf(page, `${plot}-value`), /^[\d.,]+/, plot)
    }
    t.equal(await textOf(page, 'curl'), `curl -N ${url}/vital-signs`)
  })

  await demo.test('says how many are watching', async (t) => {
    t.equal(await textOf(page, 'viewers'), '1')
    const other = await openPage(browser)
    await other.goto(url)
    t.equal(await untilOtherThan(page, 'viewers', '1'), '2')
    await other.close()
    t.equal(await untilOtherThan(page, 'viewers', '2'), '1')
  })

  await demo.test('gets what it missed when its connection breaks', async (t) => {
    t.equal(await textOf(page, 'replayed'), '0')
    await page.locator('#cut').click()
    await untilState(page, 'reconnecting', 'Reconnecting')
    const replayed = await untilOtherThan(page, 'replayed', '0')
    await untilState(page, 'live', 'Live')
    await page.locator('#log', { hasText: new RegExp(`Resumed after .* ${replayed} reading`) }).waitFor()
    await valuesMove(page)
    t.equal(await textOf(page, 'gaps'), '0', 'all of it')
    t.equal(complaints.length, 0)
  })

  await demo.test('has the metrics of its streams on a second tab, with numbers that move', async (t) => {
    t.equal(await metricsPanel.count(), 0, 'at first it is hidden')
    await metricsTab.click()
    await metricsPanel.waitFor()
    t.equal(await page.getByRole('tabpanel').count(), 1, 'in place of the other')
    for (const plot of METRICS) {
      t.equal(await page.locator(`#${plot} canvas`).count(), 1, plot)
      t.match(await untilOtherThan(page, `${plot}-value`, '–'), /^\d[\d.,]*/, plot)
    }
    const [slices, bytes] = [await textOf(page, 'slices-value'), await textOf(page, 'bytes-value')]
    await untilOtherThan(page, 'slices-value', slices)
    await untilOtherThan(page, 'bytes-value', bytes)
    t.equal(await textOf(page, 'curl'), `curl -N ${url}/metrics`)
  })

  await demo.test('counts a stream for each tab that is looked at, and a viewer once', async (t) => {
    await untilShown(page, 'connections-value', '2')
    const other = await openPage(browser)
    await other.goto(`${url}/#metrics`)
    await untilShown(page, 'connections-value', '4')
    await untilShown(page, 'viewers', '2')
    await other.close()
    await untilShown(page, 'connections-value', '2')
    t.equal(await textOf(page, 'losses-value'), '0')
  })

  await demo.test('ends the stream of metrics when nobody looks, also by the keyboard', async (t) => {
    const selectedTab = page.getByRole('tab', { name: 'Metrics', selected: true })
    await selectedTab.focus()
    await page.keyboard.press('ArrowLeft')
    await page.getByRole('tabpanel', { name: 'Vital signs' }).waitFor()
    t.equal(await metricsPanel.count(), 0)
    await untilShown(page, 'streams-value', '1')
    await page.keyboard.press('End')
    await metricsPanel.waitFor()
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.id'), 'panel-metrics', 'the next stop of Tab')
    await page.reload()
    await selectedTab.waitFor()
    await untilState(page, 'live', 'Live')
    await untilShown(page, 'connections-value', '2')
  })

  await demo.test('survives the death of its server, and tells each of its streams the gap', async (t) => {
    t.same(await server.kill('SIGKILL'), { code: null, signal: 'SIGKILL' })
    await untilState(page, 'reconnecting', 'Reconnecting')
    await page.evaluate('advance(3_000)')
    await untilShown(page, 'since', '3.0 s')
    const before = Number(await textOf(page, 'received'))
    server = (await Child.listening(demo, DEMO, { PORT: new URL(url).port })).child
    await untilState(page, 'live', 'Live')
    await untilShown(page, 'losses-value', '2')
    await untilShown(page, 'connections-value', '2')
    await page.getByRole('tab', { name: 'Vital signs' }).click()
    await page.locator('#log', { hasText: 'The server was restarted: readings are missing' }).waitFor()
    t.equal(await textOf(page, 'gaps'), '1')
    await valuesMove(page)
    t.ok(Number(await textOf(page, 'received')) > before, 'what it had is still there')
  })

  await demo.test('gives up a connection that fell silent', async (t) => {
    server.signal('SIGSTOP')
    await untilSilenceIsNoticed(page)
    server.signal('SIGCONT')
    await untilState(page, 'live', 'Live')
    await valuesMove(page)
    await untilShown(page, 'viewers', '1')
    t.equal(await textOf(page, 'gaps'), '1', 'which goes on where the other was')
  })

  await demo.test('is drawn in the colours of the colour scheme, also when that changes', async (t) => {
    for (const [colorScheme, body, curve] of [
      ['dark', 'rgb(11, 16, 21)', '#38bdf8'],
      ['light', 'rgb(244, 246, 246)', '#0369a1']
    ] as const) {
      await page.emulateMedia({ colorScheme })
      await page.waitForFunction(`getComputedStyle(document.body).backgroundColor === '${body}'`)
      for (const [tab, plot] of [
        ['Vital signs', 'streams'],
        ['Metrics', 'connections']
      ] as const) {
        await page.getByRole('tab', { name: tab }).click()
        await untilDrawnIn(page, plot, curve)
        t.pass(`${tab}, ${colorScheme}`)
      }
    }
  })

  await demo.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    for (const name of ['Vital signs', 'Metrics']) {
      await page.getByRole('tab', { name }).click()
      t.same(await widthsThatScroll(page), [], name)
    }
  })

  await demo.test('shuts down at once, with a word to those who watch', async (t) => {
    await page.getByRole('tab', { name: 'Vital signs' }).click()
    t.same(await server.kill('SIGTERM'), { code: 0, signal: null })
    await page.locator('#log', { hasText: 'The server is shutting down' }).waitFor()
    await untilState(page, 'reconnecting', 'Reconnecting')
  })

  demo.same(complaints, [], 'the page complained about nothing else')
})
