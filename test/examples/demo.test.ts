import type { Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { launchChromium } from '../helpers/chromium.ts'
import { complaintsOf } from '../helpers/page.ts'
import { messagesOf } from '../helpers/stream-reader.ts'

const DEMO = 'examples/demo/server.ts'
const PLOTS = ['cpu', 'memory', 'delay', 'streams', 'events']

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

async function textOf(page: Page, id: string): Promise<string> {
  return (await page.locator(`#${id}`).textContent()) ?? ''
}

/** Waits until new readings arrive and their values are shown. */
async function valuesMove(page: Page): Promise<void> {
  const [id, delay] = [await textOf(page, 'last-id'), await textOf(page, 'delay-value')]
  await untilOtherThan(page, 'last-id', id)
  await untilOtherThan(page, 'delay-value', delay)
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
  const page = await browser.newPage()
  const complaints = complaintsOf(page)
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
    const other = await browser.newPage()
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

  await demo.test('survives the death of its server', async (t) => {
    t.same(await server.kill('SIGKILL'), { code: null, signal: 'SIGKILL' })
    await untilState(page, 'reconnecting', 'Reconnecting')
    await untilOtherThan(page, 'since', await textOf(page, 'since'))
    const before = Number(await textOf(page, 'received'))
    server = (await Child.listening(demo, DEMO, { PORT: new URL(url).port })).child
    await untilState(page, 'live', 'Live')
    await page.locator('#log', { hasText: 'The server was restarted: readings are missing' }).waitFor()
    t.equal(await textOf(page, 'gaps'), '1')
    await valuesMove(page)
    t.ok(Number(await textOf(page, 'received')) > before, 'what it had is still there')
  })

  await demo.test('gives up a connection that fell silent', async (t) => {
    server.signal('SIGSTOP')
    await untilState(page, 'reconnecting', 'Reconnecting')
    server.signal('SIGCONT')
    await untilState(page, 'live', 'Live')
    await valuesMove(page)
    t.equal(await textOf(page, 'viewers'), '1', 'for one new connection')
    t.equal(await textOf(page, 'gaps'), '1', 'which goes on where the other was')
  })

  await demo.test('is drawn in the colours of the colour scheme, also when that changes', async (t) => {
    for (const [colorScheme, body, curve] of [
      ['dark', 'rgb(11, 16, 21)', '#38bdf8'],
      ['light', 'rgb(244, 246, 246)', '#0369a1']
    ] as const) {
      await page.emulateMedia({ colorScheme })
      await page.waitForFunction(`getComputedStyle(document.body).backgroundColor === '${body}'`)
      await untilDrawnIn(page, 'streams', curve)
      t.pass(colorScheme)
    }
  })

  await demo.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    for (const width of [320, 390, 820, 1280, 2560]) {
      await page.setViewportSize({ width, height: 900 })
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, `${width} pixels`)
    }
  })

  await demo.test('shuts down at once, with a word to those who watch', async (t) => {
    t.same(await server.kill('SIGTERM'), { code: 0, signal: null })
    await page.locator('#log', { hasText: 'The server is shutting down' }).waitFor()
    await untilState(page, 'reconnecting', 'Reconnecting')
  })

  demo.same(complaints, [], 'the page complained about nothing else')
})

t.test('demo › says that its port is taken', async (t) => {
  const { url } = await Child.listening(t, DEMO)
  const { port } = new URL(url)
  const second = new Child(t, DEMO, { PORT: port })
  await second.until(new RegExp(`Port ${port} of localhost is taken`))
  t.same(await second.exited, { code: 1, signal: null })
})

t.test('demo › reads nothing before the first viewer, and ends at Ctrl-C', async (t) => {
  const { child, url } = await Child.listening(t, DEMO)
  const messages = messagesOf(await fetch(`${url}/vital-signs`))
  const { value: welcome } = await messages.next()
  t.equal(welcome?.event, 'welcome')
  t.equal((await messages.next()).value?.event, 'sse-cursor')
  const { value: vitals } = await messages.next()
  t.equal(vitals?.event, 'vitals')
  const { time, published } = JSON.parse(vitals?.data ?? '')
  t.ok(time >= JSON.parse(welcome?.data ?? '').time, 'the first one is of after the first viewer came')
  t.equal(published, 0)
  t.same(await child.kill('SIGINT'), { code: 0, signal: null })
})
