import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** What Redis runs as one atomic step. Its only key is the base of all names. */
export interface RedisScript {
  readonly source: string
  readonly sha: string
}

export function script(source: string): RedisScript {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}

/** A replica knows what its primary knows, which this server was not told: there, this fails as every write does. */
const NO_REPLICA = `redis.call('DEL', KEYS[1] .. ':none')`

/** Says itself what it takes and returns. */
export const PUBLISH: RedisScript = script(readFileSync(new URL('./publish.lua', import.meta.url), 'utf8'))

/**
 * Makes `last` the place that what comes is after, and a function that gives a new place, as `publish.lua` does. Needs `now`,
 * in microseconds.
 */
export const GIVE = `
local newest = redis.call('XREVRANGE', ids, '+', '-', 'COUNT', 1)[1]
local last = tonumber(newest and string.match(newest[1], '^%d+') or redis.call('ZREVRANGE', heads, 0, 0, 'WITHSCORES')[2] or 0)
local function give(random)
  local since = newest and tonumber(newest[2][2]) or now
  last = math.max(now, last + 1 + math.floor(math.max(0, now - since) / 4)) + random % 256
  local place = string.format('%.0f', last)
  redis.call('XADD', ids, place .. '-0', 'i', last > now + 255 and string.format('%.0f', now) or '')
  return place
end
`

/**
 * Finds out where the history stands, and makes sure that there is one, and that Redis takes writes.
 *
 * ARGV: what it shall call itself if it is new; a place that was given, after which what comes shall be; a random integer;
 * where it is thought to be, or ''; how many milliseconds a channel is remembered that gets nothing; how old the newest
 * place may be, in milliseconds, so that whoever is told one is told one that is known for long; \`0\`: it is made now.
 * Returns its site, its newest place, which is also told on the Pub/Sub channel `<base>:<site>`, and whether it knows the
 * place that was given, 1 or 0.
 *
 * The site is what it calls itself, a number, and which process of Redis has it, if this may be asked; the number is another one
 * each time that another process has it. A primary that has become a replica tells on the connections that stay what the next
 * primary takes, but under other names, also when it is the primary again.
 */
export const PROBE: RedisScript = script(`
${NO_REPLICA}
local base, least = KEYS[1], tonumber(ARGV[2])
local ids, heads = base .. ':ids', base .. ':heads'
local known = redis.call('GET', base .. ':site')
local info = redis.pcall('INFO', 'server')
local process = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
local site = known or ARGV[1] .. '.0.'
local epoch, count, before = string.match(site, '^(%w+)%.(%d+)%.(%w*)$')
process = process and string.sub(process, 1, 10) or before
if process ~= before then site = epoch .. '.' .. count + 1 .. '.' .. process end
if site ~= known then redis.call('SET', base .. ':site', site) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
${GIVE}
local id = ARGV[2] .. '-0'
local isKnown = (least == 0 or redis.call('XRANGE', ids, id, id)[1]) and 1 or 0
if not newest or last < least or ARGV[6] == '0' or last < now - ARGV[6] * 1000 then
  last = math.max(last, least)
  give(ARGV[3])
end
local old = redis.call('ZRANGEBYSCORE', heads, 0, now - ARGV[5] * 1000, 'WITHSCORES', 'LIMIT', 0, 100)
for i = 1, #old, 2 do
  redis.call('DEL', base .. ':log:' .. old[i])
  redis.call('HDEL', base .. ':sizes', old[i])
  redis.call('HDEL', base .. ':clears', old[i])
  redis.call('ZREM', heads, old[i])
  redis.call('SET', base .. ':floor', old[i + 1])
end
last = string.format('%.0f', last)
if ARGV[4] == site then redis.call('PUBLISH', base .. ':' .. site, last) end
return {site, last, isKnown}
`)

/**
 * ARGV: a channel and a place.
 * Returns the channel's newest place, that of the newest message that is not kept any more, `1` if the channel has ended, and of each message after the
 * place its own, that of the one before it in the channel, and the header and the text as \`publish.lua\` was given them; first,
 * if all that came since is there, that the channel was cleared.
 */
export const READ: RedisScript = script(`
${NO_REPLICA}
local base, name, after = KEYS[1], ARGV[1], ARGV[2]
local log = base .. ':log:' .. name
local head = redis.call('ZSCORE', base .. ':heads', name) or '0'
local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local ended = string.match(redis.call('HGET', base .. ':sizes', name) or '', '^%d+ %d+ (%d)')
local answer = {head, oldest and oldest[2][4] or head, oldest and ended or '0'}
local cleared, before = string.match(redis.call('HGET', base .. ':clears', name) or '', '^(%d+) (%d+)')
if cleared == answer[2] and tonumber(cleared) > tonumber(after) then
  for _, part in ipairs({cleared, before, cjson.encode({'', {name}, 'clear'}) .. '\\n'}) do table.insert(answer, part) end
end
for _, entry in ipairs(redis.call('XRANGE', log, '(' .. after .. '-0', '+')) do
  table.insert(answer, string.match(entry[1], '^%d+'))
  table.insert(answer, entry[2][4] or '')
  table.insert(answer, entry[2][1] == 'm' and entry[2][2] or '')
end
return answer
`)

/** ARGV: places. Returns \`1\` or \`0\` for each: whether it was given, and no channel was forgotten that had more since. */
export const PROVE: RedisScript = script(`
${NO_REPLICA}
local base, answer = KEYS[1], {}
local floor = tonumber(redis.call('GET', base .. ':floor') or 0)
for i, place in ipairs(ARGV) do
  local id = place .. '-0'
  local isKnown = tonumber(place) >= floor and redis.call('XRANGE', base .. ':ids', id, id)[1]
  answer[i] = isKnown and 1 or 0
end
return answer
`)

/** ARGV: channels. Returns the newest place of each, or \`0\`. */
export const HEADS: RedisScript = script(`
local answer = redis.call('ZMSCORE', KEYS[1] .. ':heads', unpack(ARGV))
for i in ipairs(ARGV) do answer[i] = answer[i] or '0' end
return answer
`)

export const SCRIPTS: readonly RedisScript[] = [PUBLISH, PROBE, READ, PROVE, HEADS]
