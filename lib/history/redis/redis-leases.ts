import type { Place } from '../place.ts'
import type { Lease, StoredMessage, StoreLeases, TakenLease } from '../store.ts'
import { parseNumbers, parseRead, parseTexts } from './redis-message.ts'
import { GIVE, type RedisScript, script } from './redis-scripts.ts'

// All of these have ARGV[1], the site of the history, and ARGV[2], a random integer. A lease is a field of the hash
// `owners`: the token, the place after which the channel begins, and the note; in the sorted set `leases`, it has the time
// in milliseconds when it is over.

const COMMON = `
local base, site = KEYS[1], ARGV[1]
local ids, heads, sizes = base .. ':ids', base .. ':heads', base .. ':sizes'
local owners, leases = base .. ':owners', base .. ':leases'
local known = redis.call('GET', base .. ':site')
if known ~= site then return redis.error_reply('SITE ' .. (known or '-')) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function over(ms) return string.format('%.0f', math.floor(now / 1000) + ms) end
`

/**
 * Its answer is the place of it: the head of the channel, so that who was not told finds that something is missing. With what
 * was the head before, it is a field of the hash `clears`.
 */
const FORGET = `
local function forget(name)
  ${GIVE}
  local place = give(ARGV[2])
  local previous = redis.call('ZSCORE', heads, name) or '0'
  local total, limits = string.match(redis.call('HGET', sizes, name) or '', '^(%d+) %d+ %d (.*)$')
  redis.call('HSET', base .. ':clears', name, place .. ' ' .. previous)
  redis.call('DEL', base .. ':log:' .. name)
  redis.call('ZADD', heads, place, name)
  if total then redis.call('HSET', sizes, name, total .. ' ' .. total .. ' 0 ' .. limits) end
  local header = cjson.encode({'', {name}, 'clear'})
  redis.call('PUBLISH', base .. ':' .. site .. ':' .. name, place .. ' ' .. previous .. '\\n' .. header .. '\\n')
  return place
end
`

/** ARGV[3]: a channel, of which all that is kept is forgotten. Returns the place of that, also if nothing came since the last time. */
export const CLEAR: RedisScript = script(`${COMMON}${FORGET}
local name = ARGV[3]
local head = redis.call('ZSCORE', heads, name)
if head and string.match(redis.call('HGET', base .. ':clears', name) or '', '^%d+') == head then return head end
return forget(name)
`)

/**
 * ARGV[3…7]: a channel, a token, for how many milliseconds, a note, and the place of the channel's end that may be
 * forgotten, or ''. Returns the place after which the channel begins, or ''.
 */
const TAKE: RedisScript = script(`${COMMON}${FORGET}
local name, token, ms, note, known = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if redis.call('HEXISTS', owners, name) == 1 then return '' end
local ended = string.match(redis.call('HGET', sizes, name) or '', '^%d+ %d+ (%d)')
if ended == '1' and redis.call('EXISTS', base .. ':log:' .. name) == 1 and redis.call('ZSCORE', heads, name) ~= known then return '' end
local place = forget(name)
redis.call('HSET', owners, name, token .. ' ' .. place .. ' ' .. note)
redis.call('ZADD', leases, over(ms), name)
return place
`)

/** ARGV[3…]: for how many milliseconds, and of each lease the channel and the token. Returns of each 0, or 1 and how many follow it. */
const RENEW: RedisScript = script(`${COMMON}
local answer = {}
for i = 4, #ARGV, 2 do
  local name = ARGV[i]
  local owner, ends = redis.call('HGET', owners, name), tonumber(redis.call('ZSCORE', leases, name) or 0)
  if owner and string.match(owner, '^%w+') == ARGV[i + 1] and ends * 1000 >= now then
    redis.call('ZADD', leases, over(ARGV[3]), name)
    table.insert(answer, 1 + redis.call('PUBSUB', 'NUMSUB', base .. ':' .. site .. ':' .. name)[2])
  else
    table.insert(answer, 0)
  end
end
return answer
`)

/**
 * ARGV[3…5]: a token, for how many milliseconds, and how many. Returns of each its channel, place and note. One of which it is not
 * known any more when it is over, is over.
 */
const TAKE_OVER: RedisScript = script(`${COMMON}
if redis.call('HLEN', owners) > redis.call('ZCARD', leases) then
  for _, name in ipairs(redis.call('HKEYS', owners)) do redis.call('ZADD', leases, 'NX', 0, name) end
end
local answer = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', '(' .. over(0), 'LIMIT', 0, ARGV[5])) do
  local place, note = string.match(redis.call('HGET', owners, name) or '', '^%w+ (%d+) (.*)$')
  if place then
    redis.call('HSET', owners, name, ARGV[3] .. ' ' .. place .. ' ' .. note)
    redis.call('ZADD', leases, over(ARGV[4]), name)
    for _, part in ipairs({name, place, note}) do table.insert(answer, part) end
  else
    redis.call('ZREM', leases, name)
  end
end
return answer
`)

/** ARGV[3]: a channel. Returns the place and the note of its lease, or twice '', and what \`READ\` does of its newest message. */
const LOOK: RedisScript = script(`${COMMON}
local name = ARGV[3]
local place, note = string.match(redis.call('HGET', owners, name) or '', '^%w+ (%d+) (.*)$')
local ended = string.match(redis.call('HGET', sizes, name) or '', '^%d+ %d+ (%d)')
local newest = redis.call('XREVRANGE', base .. ':log:' .. name, '+', '-', 'COUNT', 1)[1]
if not newest then return {place or '', note or '', '0', '0', '0'} end
return {place or '', note or '', '0', '0', ended or '0', string.match(newest[1], '^%d+'), newest[2][4] or '', newest[2][2]}
`)

/** Returns of each lease its channel, place and note. */
const LIST: RedisScript = script(`${COMMON}
local answer, all = {}, redis.call('HGETALL', owners)
for i = 1, #all, 2 do
  local place, note = string.match(all[i + 1], '^%w+ (%d+) (.*)$')
  for _, part in ipairs({all[i], place, note}) do table.insert(answer, part) end
end
return answer
`)

/** How many leases one script renews or takes over. */
const MAX_LEASES = 250

/** Leases on the channels of a database. */
export class RedisLeases implements StoreLeases {
  readonly #run: (script: RedisScript, args: readonly string[]) => Promise<unknown>
  readonly #onPlace: (place: Place) => void

  /** @param onPlace gets what places are given. */
  constructor(
    run: (script: RedisScript, args: readonly string[]) => Promise<unknown>,
    onPlace: (place: Place) => void
  ) {
    this.#run = run
    this.#onPlace = onPlace
  }

  async take(
    channel: string,
    { token, ms, note }: Lease,
    end: Place | undefined
  ): Promise<Place | undefined> {
    const place = await this.#run(TAKE, [
      channel,
      token,
      String(ms),
      note,
      end === undefined ? '' : String(end)
    ])
    if (place === '') return undefined
    const [begin = 0] = parseNumbers([place], 1)
    this.#onPlace(begin)
    return begin
  }

  async renew(
    leases: readonly { readonly channel: string; readonly token: string }[],
    ms: number
  ): Promise<readonly (number | undefined)[]> {
    const followers: (number | undefined)[] = []
    for (let i = 0; i < leases.length; i += MAX_LEASES) {
      const some = leases.slice(i, i + MAX_LEASES)
      const args = some.flatMap(({ channel, token }) => [channel, token])
      const counts = parseNumbers(await this.#run(RENEW, [String(ms), ...args]), some.length)
      followers.push(...counts.map((count) => (count === 0 ? undefined : count - 1)))
    }
    return followers
  }

  async takeOver(token: string, ms: number): Promise<readonly TakenLease[]> {
    return leasesOf(await this.#run(TAKE_OVER, [token, String(ms), String(MAX_LEASES)]))
  }

  async look(channel: string): Promise<{ lease?: TakenLease; end?: StoredMessage }> {
    const [place, note = '', ...newest] = parseTexts(await this.#run(LOOK, [channel]))
    const { messages, isEnded } = parseRead(channel, 0, newest)
    const end = isEnded ? messages.at(-1) : undefined
    return {
      ...(place !== '' && { lease: { channel, place: Number(place), note } }),
      ...(end !== undefined && { end })
    }
  }

  async list(): Promise<readonly TakenLease[]> {
    return leasesOf(await this.#run(LIST, []))
  }
}

function leasesOf(answer: unknown): TakenLease[] {
  const parts = parseTexts(answer)
  const leases: TakenLease[] = []
  for (let i = 0; i < parts.length; i += 3) {
    const [channel = '', place, note = ''] = parts.slice(i, i + 3)
    leases.push({ channel, place: Number(place), note })
  }
  return leases
}
