-- Give a remember token a new end; 0 when it is not the current one.
-- KEYS: token, its user's list · ARGV: now, hash of the token, time until its end (ms), handle
if redis.call('HGET', KEYS[1], '@token') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], '@end', now + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[4])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
