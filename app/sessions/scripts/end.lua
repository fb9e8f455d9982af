-- End a session and, on request, its remember token.
-- KEYS: its user's list, the session's names · ARGV: now, idle timeout (ms), the prefix of a
-- session's key or '' to keep the token
-- Returns 1 if it was live until now. A caller that reuses the session's contents must check this:
-- otherwise a request that overlaps a logout could copy them into a new session.
find(2, #KEYS)
local times = redis.call('HMGET', session, '@seen', '@end', '@remember')
local seen, last = tonumber(times[1]), tonumber(times[2])
redis.call('UNLINK', session)
redis.call('ZREM', KEYS[1], handle(session))
if times[3] and ARGV[3] ~= '' then drop(KEYS[1], ARGV[3], times[3], '') end
return seen and last and now < last and now < seen + tonumber(ARGV[2]) and 1 or 0
