-- End a session.
-- KEYS: session, its user's list · ARGV: now, idle timeout (ms), handle
-- Returns 1 when it was in force until now. A caller that goes on with what the session held must
-- know: else a request that overlaps a logout could hand it on to a new one.
local times = redis.call('HMGET', KEYS[1], '@seen', '@end')
local seen, last = tonumber(times[1]), tonumber(times[2])
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[3])
return seen and last and now < last and now < seen + tonumber(ARGV[2]) and 1 or 0
