import { RedisServer } from '../../../test/helpers/programs/redis-server.ts'
import type { CpuParts } from '../servers/vitals.ts'
import { compare, pick, type Row } from './scenario.ts'

export const IN_REDIS = 'redisStore()'
export const IN_MEMORY = 'in memory'
export const STORES = [IN_REDIS, IN_MEMORY] as const
export type StoreName = (typeof STORES)[number]

/** Starts a Redis that keeps nothing on disk, lets `measure` use it, and ends it. */
export async function withRedis<T>(measure: (redis: RedisServer) => Promise<T>): Promise<T> {
  const redis = await RedisServer.start()
  try {
    return await measure(redis)
  } finally {
    await redis.stop()
  }
}

/** Lets `measure` use one of the two. */
export async function withStore<T>(
  store: StoreName,
  measure: (redisUrl: string | undefined) => Promise<T>
): Promise<T> {
  return store === IN_MEMORY ? measure(undefined) : withRedis(({ url }) => measure(url))
}

/** What Redis has used. */
export async function redisCpu(redis: RedisServer): Promise<CpuParts> {
  const info = String(await redis.command('INFO', 'cpu'))
  const [systemUs = 0, userUs = 0] = ['sys', 'user'].map((part) => {
    const [, seconds] = new RegExp(`^used_cpu_${part}:([\\d.]+)`, 'm').exec(info) ?? []
    return Number(seconds) * 1_000_000
  })
  return { userUs, systemUs }
}

/** @returns what each has used for one of so many things by the time they were done. */
export async function cpuPer<Name extends string>(
  count: number,
  cpus: Record<Name, () => Promise<CpuParts>>,
  work: () => Promise<unknown>
): Promise<Record<Name, CpuParts>> {
  const names = Object.keys(cpus) as Name[]
  const read = (): Promise<CpuParts[]> => Promise.all(names.map((name) => cpus[name]()))
  const before = await read()
  await work()
  const used = (await read()).map(({ userUs, systemUs }, i) => ({
    userUs: (userUs - (before[i]?.userUs ?? 0)) / count,
    systemUs: (systemUs - (before[i]?.systemUs ?? 0)) / count
  }))
  return Object.fromEntries(names.map((name, i) => [name, used[i]])) as Record<Name, CpuParts>
}

/** The rows of all that was used, which `limits` are for, and of its part outside of the kernel. */
export function cpuRows<Name extends string, Result>(
  measure: string,
  results: ReadonlyMap<Name, readonly Result[]>,
  used: (result: Result) => CpuParts,
  ours: Name,
  limits: Partial<Record<Name, number>> = {}
): Row[] {
  const all = pick(results, (result) => used(result).userUs + used(result).systemUs)
  const user = pick(results, (result) => used(result).userUs)
  return [
    ...compare({ measure, unit: 'µs' }, all, limits, ours),
    ...compare({ measure: `${measure}, outside of the kernel`, unit: 'µs' }, user, {}, ours)
  ]
}
