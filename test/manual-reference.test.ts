import { readFileSync } from 'node:fs'
import t from 'tap'
import ts from 'typescript'
import { guide, ROOT } from './helpers/manual.ts'

/** Public interfaces, by file, and the guide that names all their members. */
const INTERFACES: readonly [file: string, interfaces: readonly string[], guide: string][] = [
  [
    'lib/fastify/options.ts',
    ['StreamOptions', 'RouteStreamOptions', 'StartOptions', 'HistoryOptions', 'EventStreamOptions'],
    'reference'
  ],
  ['lib/fastify/limit.ts', ['LimitOptions'], 'reference'],
  ['lib/fastify/event-streams.ts', ['EventStreams', 'EventStreamStats'], 'reference'],
  ['lib/fastify/stream-log.ts', ['DiagnosticsEvents', 'OpenEvent', 'CloseEvent'], 'metrics'],
  ['lib/channel/diagnostics.ts', ['PublishEvent', 'GapEvent'], 'metrics'],
  ['lib/run/run.ts', ['RunEvent'], 'metrics'],
  ['lib/connection/flush.ts', ['FlushEvent'], 'metrics'],
  ['lib/connection/sse-connection.ts', ['SSEConnection', 'AnySubscription'], 'reference'],
  [
    'lib/channel/channel.ts',
    [
      'Channel',
      'ChannelInfo',
      'ChannelMessage',
      'ChannelOptions',
      'PublishOptions',
      'ReadOptions',
      'SubscribeOptions',
      'Subscription'
    ],
    'reference'
  ],
  ['lib/run/run.ts', ['Runs', 'Run', 'RunInfo', 'RunOptions', 'StartedRun'], 'reference'],
  ['lib/run/run-options.ts', ['RunsOptions'], 'reference'],
  ['lib/history/redis/redis-options.ts', ['RedisStoreOptions'], 'reference'],
  ['lib/client/options.ts', ['StreamOptions', 'StreamEvent'], 'client'],
  ['lib/client/event-stream.ts', ['EventStream'], 'client'],
  ['lib/client/shared-reader.ts', ['SharedOptions'], 'many-tabs'],
  ['lib/testing/testing.ts', ['ReceivedEvent', 'ReadOptions'], 'testing']
]

/** What stands between names, also those of symbols and of diagnostics channels. */
const NO_NAME = /[^\w:.[\]-]+|:(?= )|:$/

/** The names of an interface's members. */
function membersOf(file: string, name: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(new URL(file, ROOT), 'utf8'), ts.ScriptTarget.Latest)
  const found = source.statements.filter(ts.isInterfaceDeclaration).find((one) => one.name.text === name)
  if (found === undefined) throw new Error(`There is no ${name} in ${file}`)
  return found.members.flatMap(({ name }) =>
    name === undefined ? [] : [name.getText(source).replaceAll("'", '')]
  )
}

t.test('manual › every member of the public interfaces has its place', async (t) => {
  for (const [file, interfaces, page] of INTERFACES) {
    const prose = guide(page).replaceAll(/^```[\s\S]*?^```$/gm, '')
    const words = new Set([...prose.matchAll(/`([^`]+)`/g)].flatMap(([, code = '']) => code.split(NO_NAME)))
    for (const name of interfaces) {
      const members = membersOf(file, name)
      t.not(members.length, 0, name)
      for (const member of members) t.ok(words.has(member), `${page}.md: ${member} of ${name}`)
    }
  }
})
