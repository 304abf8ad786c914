-- One decision over 1 to 8 logs, all or nothing. KEYS: the logs. ARGV: cost, then limit, window and q per log.
-- A log is one string, oldest unit first: 4 bytes a unit (its stamp), or with q > 0 8 bytes a pair (stamp, count).
-- Stamps are milliseconds of this server's clock modulo 2^32, big-endian; with q > 0 rounded up to a multiple of q.
local call, byte, sub, pack = redis.call, string.byte, string.sub, struct.pack
local M = 4294967296
local time = call('TIME')
local abs = time[1] * 1000 + math.floor(time[2] / 1000)
local now = abs % M

-- the commonest question: one exact log, and a clock that did not go back
if #ARGV == 4 and ARGV[4] == '0' then
  local v = call('GET', KEYS[1]) or ''
  local len, live, ms, over = #v, 0, ARGV[3] + 0, 0
  if len >= 4 then
    local a, b, c, d = byte(v, len - 3, len)
    over = (a * 16777216 + b * 65536 + c * 256 + d - now) % M
  end
  if len % 4 == 0 and (over == 0 or over >= 2147483648) then
    local window, from, age = ms, 1
    while from < len do
      local a, b, c, d = byte(v, from, from + 3)
      age = (now - a * 16777216 - b * 65536 - c * 256 - d) % M
      if age < window then break end
      from = from + 4
    end
    if from > 1 then v, len = sub(v, from), len - from + 1 end
    if len > 0 then live, ms = len / 4, window - age end
    local cost, left = ARGV[1] + 0, ARGV[2] - live
    if cost > left then
      local last = (cost - left) * 4
      local a, b, c, d = byte(v, last - 3, last)
      age = (now - a * 16777216 - b * 65536 - c * 256 - d) % M
      return { 0, now, 1, left > 0 and left or 0, window - age }
    end
    local unit = pack('>I4', now)
    if cost > 1 then unit = string.rep(unit, cost) end
    call('SET', KEYS[1], v .. unit, 'PX', ARGV[3])
    return { 1, now, 0, left - cost, ms }
  end
end

local cost = ARGV[1] + 0
local full = false
local reply, values, moved = { 1, now }, {}, nil

local function read(v, at)
  local a, b, c, d = byte(v, at, at + 3)
  return a * 16777216 + b * 65536 + c * 256 + d
end

for i = 1, #KEYS do
  local at = 3 * i
  local limit, window, q = ARGV[at - 1] + 0, ARGV[at] + 0, ARGV[at + 1] + 0
  local v = call('GET', KEYS[i]) or ''
  local len, unit, stamp, ahead = #v, 4, now, 0
  if q > 0 then
    local rounded = math.ceil(abs / q) * q
    unit, stamp, ahead = 8, rounded % M, rounded - abs
  end
  if len % unit ~= 0 then return redis.error_reply('BADLOG ' .. i) end

  local live, ms = 0, 0
  if len > 0 then
    -- the clock went back: take the difference off every stamp, as if no time had passed
    local over = (read(v, len - unit + 1) - stamp) % M
    if over > 0 and over < 2147483648 then
      local parts = {}
      for from = 1, len, unit do
        parts[#parts + 1] = pack('>I4', (read(v, from) - over) % M) .. sub(v, from + 4, from + unit - 1)
      end
      v, moved = table.concat(parts), moved or {}
      moved[i] = true
    end
    -- units that no longer count are at the front
    local from, age = 1, (stamp - read(v, 1)) % M - ahead
    while age >= window do
      from = from + unit
      if from > len then break end
      age = (stamp - read(v, from)) % M - ahead
    end
    if from > 1 then v, len = sub(v, from), len - from + 1 end
    if len > 0 then
      ms = window - age
      if q == 0 then
        live = len / 4
      else
        for from = 5, len, 8 do
          local a, b, c, d = byte(v, from, from + 3)
          live = live + a * 16777216 + b * 65536 + c * 256 + d
        end
      end
    end
  end

  local left, is_full = limit - live, 0
  if cost > left then
    -- wait for the youngest of the units that have to leave
    local must, from = cost - left, 1
    if q == 0 then
      from = must * 4 - 3
    else
      local sum = read(v, 5)
      while sum < must do
        from = from + 8
        sum = sum + read(v, from + 4)
      end
    end
    ms = window - (stamp - read(v, from)) % M + ahead
    full, is_full = true, 1
  end
  values[i] = v
  reply[at], reply[at + 1], reply[at + 2] = is_full, left, ms
end

if full then reply[1] = 0 end
for i = 1, #KEYS do
  local v, at = values[i], 3 * i
  if full and reply[at + 1] < 0 then reply[at + 1] = 0 end
  if not full or (moved and moved[i]) then
    local q, stamp, px = ARGV[at + 1], now, ARGV[at]
    if q ~= '0' then
      local rounded = math.ceil(abs / q) * q
      stamp, px = rounded % M, rounded - abs + px
    end
    if not full then
      local len = #v
      reply[at + 1] = reply[at + 1] - cost
      if len == 0 then reply[at + 2] = px + 0 end
      if q == '0' then
        local one = pack('>I4', stamp)
        v = v .. (cost == 1 and one or string.rep(one, cost))
      elseif len > 0 and read(v, len - 7) == stamp then
        v = sub(v, 1, len - 4) .. pack('>I4', read(v, len - 3) + cost)
      else
        v = v .. pack('>I4I4', stamp, cost)
      end
    end
    call('SET', KEYS[i], v, 'PX', px)
  end
end
return reply
