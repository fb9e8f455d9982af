-- Give a session a new id; at no moment are both valid, and an ended one stays ended.
-- KEYS: session, its new name, its user's list · ARGV: handle, new handle, then as delta.lua says
if redis.call('HEXISTS', KEYS[1], '@end') == 0 then
  -- Sent twice, because the answer to the first time was lost?
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
