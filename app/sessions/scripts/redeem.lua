-- Log in with a remember token and replace the token by the next one.
-- KEYS: token, its user's list · ARGV: now, hash of the token, hash of the next one, how long a
-- replaced token is still good (ms), handle, the prefix of a session's key
-- Returns @user, @login, @epoch, @generation and the time left (ms); nil when there is no such token.
-- A token that was replaced long ago has a second holder. It ends with its sessions, and @user is
-- returned alone.
local it = redis.call('HMGET', KEYS[1],
  '@end', '@token', '@replaced', '@at', '@user', '@login', '@epoch', '@generation')
local last = tonumber(it[1])
if not (last and now < last) then return false end
if it[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], '@token', ARGV[3], '@replaced', ARGV[2], '@at', now)
elseif it[3] ~= ARGV[2] or now - tonumber(it[4]) >= tonumber(ARGV[4]) then
  drop(KEYS[2], ARGV[6], ARGV[5], '')
  return {it[5]}
end
return {it[5], it[6], it[7], it[8], last - now}
