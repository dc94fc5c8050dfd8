import t from 'tap'
import { WebKit } from '../../helpers/programs/webkit.ts'
import { testEventSource } from './event-source.ts'

t.test('WebKit', async (t) => {
  await testEventSource(t, await WebKit.launch(t), {
    opensWithHead: true,
    notesBareIds: true,
    keepsNul: true,
    noticesResets: false,
    hasBackground: false,
    lastingRedirects: []
  })
})
