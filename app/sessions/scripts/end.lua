-- End a session and, on request, its remember token.
-- KEYS: session, its user's list · ARGV: now, idle timeout (ms), handle, the prefix of a session's
-- key or '' to keep the token
-- Returns 1 if it was live until now. A caller that reuses the session's contents must check this:
-- otherwise a request that overlaps a logout could copy them into a new session.
local times = redis.call('HMGET', KEYS[1], '@seen', '@end', '@remember')
local seen, last = tonumber(times[1]), tonumber(times[2])
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[3])
if times[3] and ARGV[4] ~= '' then
  redis.call('UNLINK', ARGV[4] .. times[3])
  redis.call('ZREM', KEYS[2], times[3])
end
return seen and last and now < last and now < seen + tonumber(ARGV[2]) and 1 or 0
