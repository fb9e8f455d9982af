-- End a session.
-- KEYS: session, its user's list · ARGV: now, idle timeout (ms), handle
-- Returns 1 if it was live until now. A caller that reuses the session's contents must check this:
-- otherwise a request that overlaps a logout could copy them into a new session.
local times = redis.call('HMGET', KEYS[1], '@seen', '@end')
local seen, last = tonumber(times[1]), tonumber(times[2])
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[3])
return seen and last and now < last and now < seen + tonumber(ARGV[2]) and 1 or 0
