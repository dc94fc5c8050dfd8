import type { ProgramName } from '../../../test/helpers/programs.ts'
import type { ClientMethods } from '../client/main.ts'
import type { Child } from '../process/child.ts'
import type { ChannelListenOptions, ChannelMethods } from '../servers/channel-main.ts'
import type { EncodeMethods } from '../servers/encode-main.ts'
import type { ListenOptions, ServerMethods } from '../servers/main.ts'
import type { PlainMethods, PlainVariant } from '../servers/plain-main.ts'
import type { RedisMethods } from '../servers/redis-main.ts'
import { median, ratios } from '../statistics.ts'

export const OURS = 'ours'

/** What a scenario is given to measure with. */
export interface Context {
  readonly rounds: number
  /** Replaces a scenario's own number of connections or visits, for shorter runs. */
  readonly count: number | undefined

  /** Starts a server and a client, lets `measure` use them, and ends them. Warnings of ours fail the run. */
  withServer<T>(options: ListenOptions, measure: (server: Server, client: Client) => Promise<T>): Promise<T>

  /** Starts a server that sends to many and a client, lets `measure` use them, and ends them. */
  withChannelServer<T>(
    options: ChannelListenOptions,
    measure: (server: ChannelServer, client: Client) => Promise<T>
  ): Promise<T>

  /** Starts a process that encodes, lets `measure` use it, and ends it. */
  withEncoder<T>(measure: (child: Child<EncodeMethods>) => Promise<T>): Promise<T>

  /** Starts a client beside those there are, lets `measure` use it, and ends it. */
  withClient<T>(measure: (client: Client) => Promise<T>): Promise<T>

  /** Starts a server per variant and one client, lets `measure` use them, and ends them. */
  withPlainServers<T>(
    variants: readonly PlainVariant[],
    measure: (servers: PlainServer[], client: Client) => Promise<T>
  ): Promise<T>

  /** Starts a server that shares a Redis with others, lets `measure` use it, and ends it. */
  withRedisServer<T>(redisUrl: string, measure: (server: RedisServer) => Promise<T>): Promise<T>

  /** As many streams as are asked for, or as one process may hold, which is noted. */
  streams(wanted: number): number

  /** A line beneath the table, once. */
  note(text: string): void
}

export type Client = Child<ClientMethods>
export interface Server {
  readonly port: number
  readonly child: Child<ServerMethods>
}
export interface ChannelServer {
  readonly port: number
  readonly child: Child<ChannelMethods>
}
export interface PlainServer {
  readonly variant: PlainVariant
  readonly port: number
  readonly child: Child<PlainMethods>
}
export interface RedisServer {
  readonly port: number
  readonly child: Child<RedisMethods>
}

/** One line of the table. */
export interface Row {
  readonly measure: string
  readonly unit: string
  readonly contestant: string
  /** One per round. */
  readonly samples: readonly number[]
  /** Ours divided by this contestant's, one per round. */
  readonly ratios?: readonly number[]
  readonly goal?: Goal
}

export interface Goal {
  readonly text: string
  readonly isMet: boolean
}

export interface Scenario {
  readonly name: string
  readonly about: string
  /** Whether it runs only when it is named. */
  readonly isExtra?: boolean
  /** Without which it is left out. */
  readonly needs?: ProgramName
  run(context: Context): Promise<Row[]>
}

export interface Measure {
  readonly measure: string
  readonly unit: string
}

/** Samples by contestant, one per round. */
export type Samples<Name extends string = string> = ReadonlyMap<Name, readonly number[]>

/** Measures A B C A B C …, so that every contestant meets the same weather. */
export async function pairedRounds<Name extends string, Result>(
  rounds: number,
  contestants: readonly Name[],
  measureOnce: (contestant: Name) => Promise<Result>
): Promise<Map<Name, Result[]>> {
  const results = new Map<Name, Result[]>(contestants.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of contestants) results.get(name)?.push(await measureOnce(name))
  }
  return results
}

export function pick<Name extends string, Result>(
  results: ReadonlyMap<Name, readonly Result[]>,
  value: (result: Result) => number
): Map<Name, number[]> {
  return new Map([...results].map(([name, list]) => [name, list.map(value)]))
}

/** Rows that set ours beside all others. `limits`: how many times a contestant's value ours may have. */
export function compare<Name extends string>(
  measure: Measure,
  samples: Samples<Name>,
  limits: Partial<Record<Name, number>> = {},
  ours: string = OURS
): Row[] {
  const base = [...samples].find(([name]) => name === ours)?.[1] ?? []
  return [...samples].map(([contestant, own]) => {
    if (contestant === ours) return { ...measure, contestant, samples: own }
    const row = { ...measure, contestant, samples: own, ratios: ratios(base, own) }
    const limit = limits[contestant]
    return limit === undefined ? row : { ...row, goal: atMost(limit, row.ratios, '×') }
  })
}

/** The goal that the median is not above `limit`. */
export function atMost(limit: number, samples: readonly number[], unit: string): Goal {
  return { text: `≤ ${limit} ${unit}`, isMet: median(samples) <= limit }
}

/** The goal that the median is not below `limit`. */
export function atLeast(limit: number, samples: readonly number[], unit: string): Goal {
  return { text: `≥ ${limit} ${unit}`, isMet: median(samples) >= limit }
}

/** The goal that every sample is exactly `value`. */
export function exactly(value: number, samples: readonly number[]): Goal {
  return { text: `= ${value}`, isMet: samples.every((sample) => sample === value) }
}
