import t from 'tap'
import { launchBrowser } from '../helpers/browser.ts'
import { firefox } from '../helpers/programs/firefox.ts'
import { testManyTabs } from './many-tabs.ts'

t.test('examples › many tabs › Firefox', async (t) => {
  await testManyTabs(t, await launchBrowser(t, firefox), false)
})
