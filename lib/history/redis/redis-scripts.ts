import { createHash } from 'node:crypto'
import { RANDOM_RANGE } from './stream-id.ts'

/** What Redis runs as one atomic step. */
export interface RedisScript {
  readonly source: string
  readonly sha: string
}

function script(source: string): RedisScript {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}

/** By how much at most an id is above the one before it, in the same millisecond: enough not to be given again after a failover. */
const STEP_RANGE = RANDOM_RANGE / 16

/**
 * A stream begins with an entry that is no message, so that there is a place before the first one.
 *
 * `add` gives ids as `stream-id.ts` says. An id must be above all that the stream ever had, also of entries that were
 * deleted since, or of a clock that has gone back.
 */
const COMMON = `
local function oldest(stream)
  local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not entry then return '' end
  if entry[2][1] == 'start' then return entry[1] end
  return '~' .. entry[1]
end

local function newest(stream)
  local entry = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return entry and entry[1] or ''
end

local function idAfter(last, tag, random)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local least = tag * ${RANDOM_RANGE}
  local ms, number = now, least + random
  local lastMs, lastNumber = string.match(last, '^(%d+)-(%d+)$')
  lastMs, lastNumber = tonumber(lastMs), tonumber(lastNumber)
  if lastMs and lastMs >= now then
    ms = lastMs
    if lastNumber >= least then number = lastNumber + 1 + random % ${STEP_RANGE} end
    if number >= least + ${RANDOM_RANGE} then ms, number = lastMs + 1, least + random end
  end
  return string.format('%.0f-%.0f', ms, number)
end

local function add(stream, last, tag, random, ...)
  local id = idAfter(last, tag, random)
  local added = redis.pcall('XADD', stream, id, ...)
  if type(added) == 'table' and string.find(added.err, 'smaller') then
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then id = idAfter(info[i + 1], tag, random) end
    end
    added = redis.pcall('XADD', stream, id, ...)
  end
  if type(added) == 'table' then return nil, added end
  return added
end
`

/**
 * Appends messages of one channel, and tells the nodes that follow it. What may be refused comes before a message is
 * appended, or does not matter: an error says that it was not.
 *
 * KEYS: the stream, and the string of the idempotency key of each message that has one.
 * ARGV: the Pub/Sub channel, the stream's length, its milliseconds, the tag, a random number, and of each message the
 * lengths of key and text in UTF-16, the key, the text, and `1` if it has an idempotency key.
 * Returns the oldest place if it has moved, and of each message its id and that of the entry before it. No id: the other
 * is why.
 */
export const PUBLISH: RedisScript = script(`${COMMON}
local stream, ttl, tag, random = KEYS[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local head = newest(stream)
local answers, told, nextOnce = {''}, {}, 2

local function append(once, keyLength, textLength, key, text)
  local known = once and redis.pcall('GET', once)
  if type(known) == 'table' then return '', known.err end
  if known and known ~= '' then return known, '' end
  if once then
    local set = redis.pcall('SET', once, '', 'PX', ttl)
    if set.err then return '', set.err end
  end
  local previous, id, refused = head, nil, nil
  if previous == '' then previous, refused = add(stream, '', tag, random, 'start', '1') end
  if previous then id, refused = add(stream, previous, tag, random, 'key', key, 'text', text) end
  if refused then
    if once then redis.call('SET', once, '', 'PX', 1) end
    return '', refused.err
  end
  if once then redis.call('SET', once, id, 'PX', ttl) end
  if #told == 0 then told[1] = previous end
  table.insert(told, table.concat({id, #text, keyLength, textLength, key .. text}, ' '))
  head = id
  random = (random * 69069 + 1) % ${RANDOM_RANGE}
  return id, previous
end

for i = 6, #ARGV, 5 do
  local once
  if ARGV[i + 4] == '1' then once, nextOnce = KEYS[nextOnce], nextOnce + 1 end
  local id, previous = append(once, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  table.insert(answers, id)
  table.insert(answers, previous)
end
if #told > 0 then
  redis.pcall('PEXPIRE', stream, ttl)
  local trimmed = redis.pcall('XTRIM', stream, 'MAXLEN', '~', ARGV[2])
  if type(trimmed) == 'number' and trimmed > 0 then
    local isKnown, place = pcall(oldest, stream)
    if isKnown then answers[1] = place end
  end
  local previous = table.remove(told, 1)
  redis.pcall('PUBLISH', ARGV[1], previous .. ' ' .. answers[1] .. ' ' .. table.concat(told))
end
return answers
`)

/**
 * Makes sure that there is a stream. Reading goes on where Redis takes no writes, because it has too few replicas.
 *
 * KEYS: the stream. ARGV: its milliseconds, the tag, a random number.
 * Returns the newest id and the oldest place.
 */
export const OPEN: RedisScript = script(`${COMMON}
local stream = KEYS[1]
local head = newest(stream)
if head == '' then
  local failure
  head, failure = add(stream, '', tonumber(ARGV[2]), tonumber(ARGV[3]), 'start', '1')
  if failure then return failure end
end
redis.pcall('PEXPIRE', stream, ARGV[1])
return {head, oldest(stream)}
`)

/**
 * Reads from an entry on.
 *
 * KEYS: the stream. ARGV: the entry's id, bytes.
 * Returns the oldest place, the newest id, and an id, a key and a text of each entry from that one on, up to the one that
 * reaches the bytes. No text: the entry is no message.
 */
export const READ: RedisScript = script(`${COMMON}
local stream, from, bytes, count = KEYS[1], ARGV[1], tonumber(ARGV[2]), 16
local entries = {}
local isEnd
repeat
  local page = redis.call('XRANGE', stream, from, '+', 'COUNT', count)
  for _, entry in ipairs(page) do
    local key, text = '', false
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'key' then key = entry[2][i + 1] end
      if entry[2][i] == 'text' then text = entry[2][i + 1] end
    end
    table.insert(entries, entry[1])
    table.insert(entries, key)
    table.insert(entries, text)
    bytes = bytes - #(text or '') - #key - 64
    if bytes <= 0 and #entries > 3 then break end
  end
  isEnd = #page < count
  from = '(' .. (entries[#entries - 2] or '0')
  count = math.min(2 * count, 256)
until isEnd or bytes <= 0
return {oldest(stream), newest(stream), entries}
`)

/**
 * Looks which streams end otherwise than is thought, and keeps all from expiring.
 *
 * KEYS: the streams. ARGV: a Pub/Sub channel, what is published there, the streams' milliseconds, and the id at which
 * each is thought to end.
 * Returns the numbers of those that do not, from 0 on.
 */
export const CHECK: RedisScript = script(`${COMMON}
redis.call('PUBLISH', ARGV[1], ARGV[2])
local ttl = tonumber(ARGV[3])
local moved = {}
for i, stream in ipairs(KEYS) do
  local entries = redis.pcall('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  if not entries[1] or entries[1][1] ~= ARGV[i + 3] then table.insert(moved, i - 1) end
  if entries[1] and redis.call('PTTL', stream) < ttl / 2 then redis.pcall('PEXPIRE', stream, ttl) end
end
return moved
`)

/**
 * KEYS: the stream. ARGV: ids.
 * Returns which of them is the first that the stream has, from 0 on, or -1.
 */
export const FIND: RedisScript = script(`
for i, id in ipairs(ARGV) do
  if redis.call('XRANGE', KEYS[1], id, id)[1] then return i - 1 end
end
return -1
`)

export const SCRIPTS: readonly RedisScript[] = [PUBLISH, OPEN, READ, CHECK, FIND]
