-- Give a session a new id. The two are never valid together, and an ended session stays ended.
-- KEYS: its user's list, the session's names, its new names · ARGV: those of delta.lua
local keys = (#KEYS - 1) / 2
find(2, keys + 1)
local new = KEYS[2 + keys + place]
if redis.call('HEXISTS', session, '@end') == 0 then
  -- 1 if this is a retry after a lost reply: the session has its new name already.
  find(keys + 2, #KEYS)
  return redis.call('HEXISTS', session, '@end')
end
apply(session, 1)
redis.call('RENAME', session, new)
local last = redis.call('ZSCORE', KEYS[1], handle(session))
if last then
  redis.call('ZREM', KEYS[1], handle(session))
  redis.call('ZADD', KEYS[1], last, handle(new))
end
return 1
