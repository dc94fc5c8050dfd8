import t from 'tap'
import { launchBrowser } from '../../helpers/browser.ts'
import { firefox } from '../../helpers/programs/firefox.ts'
import { testEventSource } from './event-source.ts'

t.test('Firefox', async (t) => {
  await testEventSource(t, await launchBrowser(t, firefox), {
    opensWithHead: false,
    notesBareIds: false,
    keepsNul: false,
    noticesResets: true,
    hasBackground: true,
    lastingRedirects: [301, 308]
  })
})
