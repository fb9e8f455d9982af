-- Read a session and extend its idle timeout.
-- KEYS: the session's names
-- ARGV: now, idle timeout (ms), how much of it may pass before it is extended (ms)
-- Returns its fields, with its @handle if that is of an older key; nil when there is none or it has
-- timed out; 0 when it is damaged.
find(1, #KEYS)
local times = redis.call('HMGET', session, '@seen', '@end')
local seen, last = tonumber(times[1]), tonumber(times[2])
if not seen or not last then
  if redis.call('EXISTS', session) == 1 then return 0 end
  return false
end
local idle = tonumber(ARGV[2])
if not (now < last and now < seen + idle) then
  redis.call('UNLINK', session)
  return false
end
if now - seen >= tonumber(ARGV[3]) then
  -- PEXPIRE first: it is allowed when memory is full, and so is HSET in a script that has written.
  -- Reading a session must work then.
  redis.call('PEXPIRE', session, math.min(idle, last - now))
  redis.call('HSET', session, '@seen', now)
end
local fields = redis.call('HGETALL', session)
if place > 0 then
  fields[#fields + 1] = '@handle'
  fields[#fields + 1] = handle(session)
end
return fields
