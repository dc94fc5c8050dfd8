import { Chromium } from '../page/chromium.ts'
import { PageServer } from '../page/page-server.ts'
import { type Context, compare, OURS, pairedRounds, type Row, type Scenario } from './scenario.ts'

const SECONDS = 4
const CONTESTANTS = [OURS, 'EventSource'] as const
const MAX_RATIO = 1.2

async function run(context: Context): Promise<Row[]> {
  const server = await PageServer.listen(SECONDS)
  const browser = Chromium.open(server.url)
  try {
    await server.idle()
    const measureOnce = async (contestant: string): Promise<number> => {
      const before = browser.cpu()
      const events = await server.read(contestant)
      await server.idle()
      return (browser.cpu() - before) / events
    }
    for (const contestant of CONTESTANTS) await measureOnce(contestant)
    const samples = await pairedRounds(context.rounds, CONTESTANTS, measureOnce)
    return compare({ measure: "all of Chromium's CPU per event", unit: 'µs' }, samples, {
      EventSource: MAX_RATIO
    })
  } finally {
    await browser.close()
    server.close()
  }
}

export const page: Scenario = {
  name: 'page',
  about: 'a page of Chromium reads 10,000 events a second of 100 bytes, by the client and by EventSource',
  isExtra: true,
  run
}
