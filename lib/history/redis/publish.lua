-- Publishes messages to channels, in one step. The plugin runs this script, and so may other programs:
--
--   redis-cli --eval publish.lua 'eventstream:{0}' , '' 7 '' 0 1 1 news '' '' $'data: hello\n\n'
--
-- KEYS[1]  the prefix of the history, and {0}
-- ARGV     1  where the history is, as the key `site` says, or '' for wherever it is
--          2  a random integer from 0 to 65535
--          3  an idempotency key, or '', and 4 for how many milliseconds it counts
--          5  1 for messages that are kept, 0 for those that are only for who is here, 2 if the channels end with them; then,
--             after a space, the token of the lease on the channel, if there is one, and, after another, where the channel stands
--          6  how many channels follow: of each its name, and four numbers with a space between: how many messages, bytes of text
--             and milliseconds are kept, and for how many milliseconds all that is there is kept when it has ended; '': as before
--          then of each message a header (JSON: [key] or [key, channels]; '': no key), and its text, which ends with an empty line
--
-- Returns an array: 1 if the messages are new, or 0; whether a channel's limits have changed, 1 or 0; and the messages' places.
-- An error that begins with ENDED says that a channel has ended; with OWNED, that somebody else has a lease on it, or that it
-- stands elsewhere; with SITE, where the history is.
local call, base = redis.call, KEYS[1]
local ids, heads, sizes = base .. ':ids', base .. ':heads', base .. ':sizes'
local owners, leases = base .. ':owners', base .. ':leases'
local kind, token, after = string.match(ARGV[5], '^(%d) ?(%w*) ?(%d*)$')
local wanted, random, isKept, isEnd = ARGV[1], tonumber(ARGV[2]), kind ~= '0', kind == '2'
local once, onceMs = ARGV[3] ~= '' and base .. ':once:' .. ARGV[3], ARGV[4]
local DAY_MS, PROVED_US, MAX_IDS = 86400000, 600000000, 100000

local site = call('GET', base .. ':site')
if not site then return redis.error_reply('SITE -') end
if wanted == '' then
  -- This may be the first that writes to a replica that has become the primary.
  local info = redis.pcall('INFO', 'server')
  local process = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  local epoch, count, before = string.match(site, '^(%w+)%.(%d+)%.(%w*)$')
  process = process and string.sub(process, 1, 10) or before
  if process ~= before then
    site = epoch .. '.' .. count + 1 .. '.' .. process
    call('SET', base .. ':site', site)
  end
elseif wanted ~= site then
  return redis.error_reply('SITE ' .. site)
end
if once then
  local places = call('GET', once)
  if places then
    local answer = {0, 0}
    for place in string.gmatch(places, '%d+') do table.insert(answer, place) end
    return answer
  end
end

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = call('XREVRANGE', ids, '+', '-', 'COUNT', '1')[1]
-- Without ids, as after DEL, channels still tell a place that what comes is after.
local last = tonumber(newest and string.match(newest[1], '^%d+') or call('ZREVRANGE', heads, 0, 0, 'WITHSCORES')[2] or 0)
-- Places that are ahead of a clock that was set back go on with a quarter of its pace, and say when they were given.
local since = newest and tonumber(newest[2][2]) or now
local step = math.floor(math.max(0, now - since) / 4)

local function text(place) return string.format('%.0f', place) end

local function isOwned(name)
  local owner = call('HGET', owners, name)
  if not owner then return token ~= '' end
  if after ~= '' and (call('ZSCORE', heads, name) or after) ~= after then return true end
  return string.match(owner, '^%w+') ~= token or tonumber(call('ZSCORE', leases, name) or 0) * 1000 < now
end

local channels, at, isChanged = {}, 7, 0
for i = 1, tonumber(ARGV[6]) do
  local name = ARGV[at]
  local log = base .. ':log:' .. name
  local given = ARGV[at + 1]
  at = at + 2
  local total, dropped, ended, limits = string.match(call('HGET', sizes, name) or '', '^(%d+) (%d+) (%d) (.*)$')
  if ended == '1' and call('EXISTS', log) == 1 then return redis.error_reply('ENDED ' .. name) end
  if isOwned(name) then return redis.error_reply('OWNED ' .. name) end
  if given == '' then given = limits or '1000 1048576 300000 300000' end
  if isKept and limits and limits ~= given then isChanged = 1 end
  local maxMessages, maxBytes, maxAgeMs, keepEndedMs = string.match(given, '^(%d+) (%d+) (%d+) (%d+)$')
  channels[i] = {
    name = name,
    log = log,
    notices = base .. ':' .. site .. ':' .. name,
    -- Of a channel that was forgotten, who has its lease knows where it stood.
    head = isKept and (call('ZSCORE', heads, name) or after ~= '' and after) or '0',
    total = tonumber(total or 0),
    dropped = tonumber(dropped or 0),
    limits = given,
    -- An end that is no message is not counted.
    maxMessages = isEnd and maxMessages + 1 or maxMessages,
    maxBytes = tonumber(maxBytes),
    maxAgeMs = tonumber(isEnd and keepEndedMs or maxAgeMs)
  }
end

-- An error, if Redis does not allow to tell of one of them: all are kept nevertheless, so that who follows finds out.
local refused
local places = {}
for i = at, #ARGV, 2 do
  local header, body = ARGV[i], ARGV[i + 1]
  last = math.max(now, last + 1 + step) + random % 256
  step, random = 0, (random * 69069 + 1) % 65536
  local place = text(last)
  call('XADD', ids, place .. '-0', 'i', last > now + 255 and text(now) or '')
  table.insert(places, place)
  if header == '' then header = '[""]' end
  local message = header .. '\n' .. body
  local previous = {}
  for j, channel in ipairs(channels) do
    previous[j] = isKept and channel.head or '-'
    if isKept then
      call('XADD', channel.log, 'MAXLEN', channel.maxMessages, place .. '-0', 'm', message, 'p', channel.head, 'c', channel.total)
      channel.total, channel.head = channel.total + #body, place
    end
  end
  -- Each tells of all of them, so that whoever hears the first knows whether anything is missing in any.
  local all = #channels > 1 and ' ' .. table.concat(previous, ' ') or ''
  for j, channel in ipairs(channels) do
    local told = redis.pcall('PUBLISH', channel.notices, place .. ' ' .. previous[j] .. all .. '\n' .. message)
    if type(told) == 'table' then refused = told end
  end
end

-- What is too old, or too many, is removed by one publish in sixteen.
local isTrimming = last % 16 == 0
for _, channel in ipairs(isKept and channels or {}) do
  local log, maxBytes, maxAgeMs = channel.log, channel.maxBytes, channel.maxAgeMs
  if isTrimming and maxAgeMs > 0 and not isEnd then call('XTRIM', log, 'MINID', text(math.min(now - maxAgeMs * 1000, last))) end
  if channel.total - channel.dropped > maxBytes then
    local oldest = call('XRANGE', log, '-', '+', 'COUNT', 2)
    -- What was dropped otherwise has not been counted.
    if oldest[1] then channel.dropped = tonumber(oldest[1][2][6]) end
    while channel.total - channel.dropped > maxBytes and oldest[2] do
      call('XDEL', log, oldest[1][1])
      channel.dropped = tonumber(oldest[2][2][6])
      oldest = call('XRANGE', log, '-', '+', 'COUNT', 2)
    end
  end
  call('PEXPIRE', log, maxAgeMs > 0 and math.min(maxAgeMs, DAY_MS) or DAY_MS)
  if isEnd and token ~= '' then
    call('HDEL', owners, channel.name)
    call('ZREM', leases, channel.name)
  end
  call('ZADD', heads, channel.head, channel.name)
  call('HSET', sizes, channel.name, text(channel.total) .. ' ' .. text(channel.dropped) .. (isEnd and ' 1 ' or ' 0 ') .. channel.limits)
end
local over = isTrimming and call('XLEN', ids) - MAX_IDS or 0
-- Places may be far ahead of the clock.
local old = math.max(now, last - PROVED_US) - PROVED_US
if over > 0 then call('XTRIM', ids, 'MINID', '~', text(old), 'LIMIT', over) end
if once then call('SET', once, table.concat(places, ' '), 'PX', onceMs) end
if refused then return refused end
table.insert(places, 1, isChanged)
table.insert(places, 1, 1)
return places
