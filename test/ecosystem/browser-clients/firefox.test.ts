import t from 'tap'
import { launchBrowser } from '../../helpers/browser.ts'
import { firefox } from '../../helpers/programs/firefox.ts'
import { testClients } from './clients.ts'

t.test('Clients of other people in Firefox', async (t) => {
  await testClients(t, await launchBrowser(t, firefox))
})
