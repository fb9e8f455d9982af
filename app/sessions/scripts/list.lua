-- List a user's live sessions. Their keys share the list's hash tag and so its slot.
-- KEYS: the user's list · ARGV: now, idle timeout (ms), the prefix of a session's key
local idle = tonumber(ARGV[2])
local found = {}
for _, handle in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local it = redis.call('HMGET', ARGV[3] .. handle,
    '@born', '@seen', '@end', '@generation', '@address', '@agent', '@token')
  local seen, last = tonumber(it[2]), tonumber(it[3])
  if not seen or not last then
    redis.call('ZREM', KEYS[1], handle)
  elseif not it[7] and now < last and now < seen + idle then
    found[#found + 1] = {handle, it[1], it[2], it[4], it[5], it[6]}
  end
end
return found
