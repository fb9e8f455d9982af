-- Store a new session under a new id, or a new remember token. Returns 0, with nothing written, if the
-- token that it depends on has ended: a request that overlaps a logout must not log in again.
-- KEYS: session[, its user's list[, the token that logged it in]]
-- ARGV: now, idle, absolute timeout (ms), handle, names and values
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local idle, absolute = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('HSET', KEYS[1], '@born', now, '@seen', now, '@end', now + absolute)
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], math.min(idle, absolute))
if KEYS[2] then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('ZADD', KEYS[2], now + absolute, ARGV[4])
  if redis.call('PTTL', KEYS[2]) < absolute then
    redis.call('PEXPIRE', KEYS[2], absolute)
  end
end
return 1
