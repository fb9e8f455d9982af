-- Give a session a new id. The two are never valid together, and an ended session stays ended.
-- KEYS: session, its new key, its user's list · ARGV: handle, new handle, then those of delta.lua
if redis.call('HEXISTS', KEYS[1], '@end') == 0 then
  -- 1 if this is a retry after a lost reply: the session has its new key already.
  return redis.call('HEXISTS', KEYS[2], '@end')
end
apply(KEYS[1], 3)
redis.call('RENAME', KEYS[1], KEYS[2])
local last = redis.call('ZSCORE', KEYS[3], ARGV[1])
if last then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[3], last, ARGV[2])
end
return 1
