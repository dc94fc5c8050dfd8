import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { judge } from './judge.ts'
import { EVENTS } from './run-log.ts'
import type { Client } from './sockets/client.ts'
import type { ClientStream } from './sockets/client-stream.ts'
import { runSockets } from './sockets/run-sockets.ts'
import { summaryOf } from './sockets/summary.ts'
import { textOf } from './violation.ts'

/** CHECK_SEED=… repeats the choices of a run, though not its timing. `npm run soak` takes a minute. */
const seed = Number.parseInt(process.env.CHECK_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

const WARM_UP_MESSAGES = 1_000
const ENOUGH = { received: 15_000, resumed: 200, gaps: 20 } as const

t.test(`sockets › a real server and its clients have no violation (CHECK_SEED=${seed})`, async (t) => {
  const run = await runSockets(t, { seed, enough, warmUpMessages: WARM_UP_MESSAGES })
  t.comment(JSON.stringify({ seed, ...summaryOf(run) }))
  t.equal(textOf(judge(run).slice(0, 20)), '')
})

async function enough(clients: readonly Client[]): Promise<void> {
  while (!hasEnough(clients.flatMap(({ streams }) => streams))) await sleep(50)
}

function hasEnough(streams: readonly ClientStream[]): boolean {
  const blocks = streams.map(({ receiver }) => receiver.received)
  const received = blocks.reduce((sum, { length }) => sum + length, 0)
  const resumed = streams.filter(({ resumedFrom }) => resumedFrom !== undefined).length
  const gaps = blocks.flat().filter(({ event }) => event === EVENTS.gap).length
  return received >= ENOUGH.received && resumed >= ENOUGH.resumed && gaps >= ENOUGH.gaps
}
