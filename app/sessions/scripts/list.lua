-- List a user's live sessions. Their keys share the list's hash tag and so its slot.
-- KEYS: the user's list · ARGV: now, idle timeout (ms), the prefix of a session's key
local idle = tonumber(ARGV[2])
local found = {}
for _, handle in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local it = redis.pcall('HMGET', ARGV[3] .. handle,
    '@born', '@seen', '@end', '@generation', '@address', '@agent', '@token')
  if it.err then it = {} end -- damaged: not a hash
  local function time(text)
    local number = tonumber(text or nil)
    return number and number >= 0 and number < 1e15 and number
  end
  local seen, last = time(it[2]), tonumber(it[3] or nil)
  if not seen or not last then
    redis.call('ZREM', KEYS[1], handle)
  elseif not it[7] and now < last and now < seen + idle then
    found[#found + 1] = {handle, time(it[1]) and it[1] or 0, it[2], it[4], it[5], it[6]}
  end
end
return found
