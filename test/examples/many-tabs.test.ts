import t from 'tap'
import { launchBrowser } from '../helpers/browser.ts'
import { chromium } from '../helpers/programs/chromium.ts'
import { testManyTabs } from './many-tabs.ts'

t.test('examples › many tabs › Chromium', async (t) => {
  await testManyTabs(t, await launchBrowser(t, chromium), true)
})
