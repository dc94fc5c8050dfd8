import type { Browser, BrowserContext, Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { Child } from '../helpers/child.ts'

const MANY_TABS = 'examples/many-tabs.ts'
const TABS = 8

/** What browsers say of streams that were broken off under them. */
const BROKEN_OFF = /^Failed to load resource: net::ERR_/

const SHOWN = `[...document.querySelectorAll('#news li')].map(({ textContent }) => textContent)`
const GAP = 'The server cannot tell how far this page had come. It begins again:'

/** In the page: while `isDeaf` is set, it hears nothing of the other tabs. */
const CAN_BE_DEAF = `(() => {
  const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, 'onmessage')
  Object.defineProperty(BroadcastChannel.prototype, 'onmessage', {
    set(listener) {
      set.call(this, (event) => globalThis.isDeaf || listener(event))
    }
  })
})()`

/** In the page: what it would tell the other tabs next fails. */
const FAILS_ONCE = `{
  const { postMessage } = BroadcastChannel.prototype
  BroadcastChannel.prototype.postMessage = () => {
    BroadcastChannel.prototype.postMessage = postMessage
    globalThis.hasFailed = true
    throw new Error('cannot be told')
  }
}`

/** In the page: its streams begin at a place that the server does not know. */
const IS_LOST = `(() => {
  const { fetch } = globalThis
  const headers = { 'last-event-id': 'lost' }
  globalThis.fetch = (what, init) =>
    fetch(what instanceof Request ? new Request(what, { headers }) : what, init)
})()`

async function publish(url: string, text: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const { status } = await fetch(`${url}/news`, { method: 'POST', headers, body: JSON.stringify({ text }) })
  if (status !== 201) throw new Error(`the news were answered with ${status}`)
}

async function streamsOf(url: string): Promise<number> {
  const { streams } = (await (await fetch(`${url}/stats`)).json()) as { streams: number }
  return streams
}

async function shown(page: Page): Promise<string[]> {
  return (await page.evaluate(SHOWN)) as string[]
}

/** Pages in the background have no animation frames to wait for. */
async function untilTrue(page: Page, expression: string): Promise<void> {
  await page.waitForFunction(expression, { polling: 'mutation' })
}

async function untilShown(page: Page, text: string): Promise<void> {
  await untilTrue(page, `${SHOWN}.at(-1) === ${JSON.stringify(text)}`)
}

async function textOf(page: Page, id: string): Promise<string> {
  return (await page.evaluate(`document.getElementById('${id}').textContent`)) as string
}

/** The tabs of one user, in the order in which they lead. */
class Tabs {
  readonly open: Page[] = []
  readonly complaints: string[] = []
  readonly #url: string
  readonly #context: BrowserContext

  constructor(url: string, context: BrowserContext) {
    this.#url = url
    this.#context = context
  }

  get leader(): Page {
    const [leader] = this.open
    if (leader === undefined) throw new Error('no tab is open')
    return leader
  }

  /** @param script Runs in the page before its own scripts. */
  async add(script?: string): Promise<Page> {
    const page = await this.#context.newPage()
    page.setDefaultTimeout(0)
    page.on('pageerror', (error) => this.#note(String(error)))
    page.on('console', (message) => this.#note(message.text()))
    if (script !== undefined) await page.evaluateOnNewDocument(script)
    await page.goto(this.#url)
    await untilTrue(page, `document.documentElement.dataset.state === 'live'`)
    this.open.push(page)
    return page
  }

  /** Takes the tab that leads out of those that are open. */
  shift(): Page {
    const { leader } = this
    this.open.shift()
    return leader
  }

  async untilShown(text: string): Promise<void> {
    for (const page of this.open) await untilShown(page, text)
  }

  /** That all show this, and that only the leader's stream is left. */
  async check(t: Test, news: string[], message: string): Promise<void> {
    for (const [index, page] of this.open.entries()) {
      t.same(await shown(page), news, `${message}: tab ${index + 1} of ${this.open.length}`)
    }
    while ((await streamsOf(this.#url)) !== 1); // those of closed tabs go
  }

  #note(text: string): void {
    if (!BROKEN_OFF.test(text)) this.complaints.push(text)
  }
}

/** What all browsers do. Only Chromium is quick to change its size. */
export async function testManyTabs(suite: Test, browser: Browser, isChromium: boolean): Promise<void> {
  const { child: first, url } = await Child.listening(suite, MANY_TABS)
  const tabs = new Tabs(url, browser.defaultBrowserContext())
  let server = first
  let news: string[] = []

  const tell = async (text: string): Promise<void> => {
    await publish(url, text)
    news.push(text)
  }
  /** Publishes many messages, and does something in their midst. */
  const tellMany = async (what: string, inTheMidst: () => Promise<unknown>): Promise<void> => {
    let done: Promise<unknown> | undefined
    for (let i = 1; i <= 60; i++) {
      if (i === 30) done = inTheMidst()
      await tell(`message ${i}, ${what}`)
    }
    await done
  }

  await suite.test('eight tabs have one stream, and show the same in order', async (t) => {
    await tell('before anybody came')
    for (let i = 1; i <= TABS; i++) {
      await tabs.add()
      await tell(`tab ${i} is there`)
    }
    for (let i = 1; i <= 50; i++) await tell(`message ${i}`)
    await tabs.untilShown('message 50')
    await tabs.check(t, news, 'also what came before it was opened')
    t.equal(first.output.match(/event stream opened/g)?.length, 1, 'there was never another')
  })

  await suite.test(
    'another tab leads when that which led is closed, and none misses or doubles anything',
    async (t) => {
      await tellMany('while it is closed', () => tabs.shift().close())
      await tabs.untilShown(news.at(-1) ?? '')
      await tabs.check(t, news, 'then')
    }
  )

  await suite.test('a tab that listens goes away and comes back, and has all', async (t) => {
    const page = tabs.open.pop() as Page
    await tellMany('while a listener goes away', () => page.goto('about:blank'))
    await page.goBack()
    tabs.open.push(page)
    await tabs.untilShown(news.at(-1) ?? '')
    await tabs.check(t, news, 'after it came back')
  })

  await suite.test('a message that the leader could not tell the others comes again', async (t) => {
    await tabs.leader.evaluate(FAILS_ONCE)
    for (let i = 1; i <= 10; i++) await tell(`message ${i}, of which the first one cannot be told`)
    await tabs.untilShown(news.at(-1) ?? '')
    t.ok(await tabs.leader.evaluate('globalThis.hasFailed'))
    await tabs.check(t, news, 'in its place')
  })

  await suite.test('what the next leader did not hear comes again, to the others not', async (t) => {
    while (tabs.open.length > 1) await (tabs.open.pop() as Page).close()
    const deaf = await tabs.add(CAN_BE_DEAF)
    const ahead = await tabs.add()
    await deaf.evaluate('globalThis.isDeaf = true')
    for (let i = 1; i <= 10; i++) await tell(`message ${i} to those who hear`)
    await untilShown(ahead, 'message 10 to those who hear')
    t.same(await shown(deaf), news.slice(0, -10))
    await deaf.evaluate('globalThis.isDeaf = false')
    await tabs.shift().close()
    await untilShown(deaf, 'message 10 to those who hear')
    await tell('to all')
    await tabs.untilShown('to all')
    await tabs.check(t, news, 'with the next leader')
  })

  await suite.test('after a gap, all tabs begin again, also with what they had', async (t) => {
    const resumed = first.output.split('"eventStream":{"lastEventId":').length - 1
    t.equal(
      resumed,
      first.output.split('event stream opened').length - 2,
      'all leaders but the first resumed'
    )
    const lost = await tabs.add(IS_LOST)
    await tabs.add()
    while (tabs.leader !== lost) await tabs.shift().close()
    for (const page of tabs.open) await untilTrue(page, `${SHOWN}[0] === ${JSON.stringify(GAP)}`)
    await tabs.untilShown(news.at(-1) ?? '')
    news = [GAP, ...news]
    await tabs.check(t, news, 'with the next leader')
  })

  await suite.test('all tabs are told a gap when the server was restarted, and go on', async (t) => {
    await server.kill('SIGKILL')
    for (const page of tabs.open) {
      await untilTrue(page, `document.documentElement.dataset.state === 'reconnecting'`)
    }
    server = (await Child.listening(suite, MANY_TABS, { PORT: new URL(url).port })).child
    news = [GAP]
    for (let i = 1; i <= 20; i++) await tell(`message ${i} after the restart`)
    await tabs.untilShown('message 20 after the restart')
    await tabs.check(t, news, 'after the restart')
    await tabs.add()
    await tabs.check(t, news, 'a tab that is opened later')
  })

  await suite.test('without locks, which need HTTPS, each tab has a stream of its own', async (t) => {
    const alone = new Tabs(url, await browser.createBrowserContext())
    const noLocks = `Object.defineProperty(navigator, 'locks', { value: undefined })`
    for (let i = 1; i <= 2; i++) await alone.add(noLocks)
    t.equal(await streamsOf(url), 3)
    await tell('to each on its own')
    for (const page of alone.open) {
      await untilShown(page, 'to each on its own')
      t.same(await shown(page), news.slice(1), 'no gap was told here')
      await page.close()
    }
    t.same(alone.complaints, [])
  })

  await suite.test('a tab publishes to all, and says how many news it has', async (t) => {
    const [page, other] = [await tabs.add(), await tabs.add()]
    await page.bringToFront()
    await page.type('#text', 'The <b>beans</b> are fine & well')
    await page.click('#publish')
    news.push('The <b>beans</b> are fine & well')
    await tabs.untilShown('The <b>beans</b> are fine & well')
    t.equal(await textOf(other, 'received'), String(news.filter((text) => text !== GAP).length))
  })

  if (isChromium) {
    await suite.test('a page never scrolls sideways, from a phone to a wide screen', async (t) => {
      for (const width of [320, 390, 820, 1280, 2560]) {
        await tabs.leader.setViewport({ width, height: 900 })
        t.equal(await tabs.leader.evaluate('document.documentElement.scrollWidth'), width, `${width} pixels`)
      }
    })
  }

  await suite.test('is answered 400 for news that are none', async (t) => {
    const headers = { 'content-type': 'application/json' }
    for (const body of ['{}', '{"text":" \\n"}', '{"text":["a","b"]}']) {
      t.equal((await fetch(`${url}/news`, { method: 'POST', headers, body })).status, 400, body)
    }
  })

  suite.same(tabs.complaints, [], 'no page complained about anything')
  suite.notMatch(first.output + server.output, /"level":(50|60)/, 'nothing is logged as an error')
}
