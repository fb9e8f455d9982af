-- Read a session and extend its idle timeout.
-- KEYS: session · ARGV: now, idle timeout (ms), how much of it may pass before it is extended (ms)
-- Returns its fields; nil when there is none or it has timed out; 0 when it is damaged.
local times = redis.call('HMGET', KEYS[1], '@seen', '@end')
local seen, last = tonumber(times[1]), tonumber(times[2])
if not seen or not last then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  return false
end
local idle = tonumber(ARGV[2])
if not (now < last and now < seen + idle) then
  redis.call('UNLINK', KEYS[1])
  return false
end
if now - seen >= tonumber(ARGV[3]) then
  -- PEXPIRE first: it is allowed when memory is full, and so is HSET in a script that has written.
  -- Reading a session must work then.
  redis.call('PEXPIRE', KEYS[1], math.min(idle, last - now))
  redis.call('HSET', KEYS[1], '@seen', now)
end
return redis.call('HGETALL', KEYS[1])
