import type { Page } from 'puppeteer-core'
import { type BrowserProgram, launchBrowser, type Test } from '../helpers/browser.ts'
import { chromium } from '../helpers/programs/chromium.ts'
import { firefox } from '../helpers/programs/firefox.ts'
import { WebKit } from '../helpers/programs/webkit.ts'
import type { Engine, EngineName, Tab } from './engine.ts'

/** Another site, so that the page may go into the back/forward cache. */
const ELSEWHERE = 'data:text/html,elsewhere'
const IS_READY = `new Promise((resolve) => {
  const look = () => (globalThis.tab === undefined ? setTimeout(look, 5) : resolve(true))
  look()
})`

async function launch(t: Test, name: EngineName, program: BrowserProgram): Promise<Engine> {
  const browser = await launchBrowser(t, program)
  return {
    name,
    async newTab(origin) {
      const page = await browser.newPage()
      page.setDefaultTimeout(0)
      await page.goto(`${origin}/page`)
      await page.evaluate(IS_READY)
      return name === 'Chromium' ? await chromiumTab(page) : tabOf(page)
    }
  }
}

function tabOf(page: Page): Tab {
  return {
    evaluate: (expression) => page.evaluate(expression),
    close: async () => {
      if (!page.isClosed()) await page.close()
    },
    leave: async () => {
      await page.goto(ELSEWHERE)
    },
    comeBack: async () => {
      await page.goBack()
    }
  }
}

async function chromiumTab(page: Page): Promise<Tab> {
  const session = await page.createCDPSession()
  return {
    ...tabOf(page),
    crash: async () => {
      await page.goto('chrome://crash').catch(() => {})
    },
    setOffline: (isOffline) => page.setOfflineMode(isOffline),
    setFrozen: async (isFrozen) => {
      await session.send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' })
    }
  }
}

async function launchWebKit(t: Test): Promise<Engine> {
  const browser = await WebKit.launch(t)
  return {
    name: 'WebKit',
    async newTab(origin) {
      const page = await browser.newPage()
      await page.goto(`${origin}/page`)
      await page.evaluate(IS_READY)
      return {
        evaluate: (expression) => page.evaluate(expression),
        close: () => page.close(),
        leave: () => page.goto(ELSEWHERE),
        comeBack: () => page.goBack()
      }
    }
  }
}

export const browsers: Readonly<Record<Exclude<EngineName, 'Node'>, (t: Test) => Promise<Engine>>> = {
  Chromium: (t) => launch(t, 'Chromium', chromium),
  Firefox: (t) => launch(t, 'Firefox', firefox),
  WebKit: launchWebKit
}
