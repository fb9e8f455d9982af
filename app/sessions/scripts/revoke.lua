-- End a user's sessions: one, all but one, or all, with their remember tokens. Of all but one, the
-- one loses its token as well. Their keys share the list's slot.
-- KEYS: the user's list · ARGV: the prefix of a session's key, the handle to end or '', the handle
-- to keep or ''. Returns how many sessions were ended.
local ended = 0
local function drop(handle)
  if redis.call('ZREM', KEYS[1], handle) == 0 then return end
  local it = redis.call('HMGET', ARGV[1] .. handle, '@token', '@remember')
  local gone = redis.call('UNLINK', ARGV[1] .. handle)
  if not it[1] then ended = ended + gone end
  if it[2] then drop(it[2]) end
end
local handles = {ARGV[2]}
if ARGV[2] == '' then handles = redis.call('ZRANGE', KEYS[1], 0, -1) end
for _, handle in ipairs(handles) do
  if handle ~= ARGV[3] then drop(handle) end
end
return ended
