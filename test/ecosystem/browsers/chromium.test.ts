import t from 'tap'
import { launchBrowser } from '../../helpers/browser.ts'
import { chromium } from '../../helpers/programs/chromium.ts'
import { testEventSource } from './event-source.ts'

t.test('Chromium', async (t) => {
  await testEventSource(t, await launchBrowser(t, chromium), {
    opensWithHead: true,
    notesBareIds: true,
    keepsNul: true,
    noticesResets: true,
    hasBackground: true,
    lastingRedirects: [301, 302, 307, 308]
  })
})
