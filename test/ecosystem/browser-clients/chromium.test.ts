import t from 'tap'
import { launchBrowser } from '../../helpers/browser.ts'
import { chromium } from '../../helpers/programs/chromium.ts'
import { testClients } from './clients.ts'

t.test('Clients of other people in Chromium', async (t) => {
  await testClients(t, await launchBrowser(t, chromium))
})
