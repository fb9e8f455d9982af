-- Store a new session under a new id, or a new remember token. Returns 0, with nothing written, if the
-- token that it depends on has ended: a request that overlaps a logout must not log in again.
-- KEYS: session[, its user's list[, the token that logged it in]]
-- ARGV: now, idle, absolute timeout (ms), handle, how many the list may hold, the prefix of a session's
-- key, names and values
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local idle, absolute = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('HSET', KEYS[1], '@born', now, '@seen', now, '@end', now + absolute)
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], math.min(idle, absolute))
if KEYS[2] then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('ZADD', KEYS[2], now + absolute, ARGV[4])
  if redis.call('PTTL', KEYS[2]) < absolute then
    redis.call('PEXPIRE', KEYS[2], absolute)
  end
  if redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[5]) then
    local oldest, since
    for _, each in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
      local born = tonumber(fields(ARGV[6] .. each, '@born')[1] or 0) or 0
      if each ~= ARGV[4] and (not oldest or born < since) then oldest, since = each, born end
    end
    drop(KEYS[2], ARGV[6], oldest, ARGV[4])
  end
end
return 1
