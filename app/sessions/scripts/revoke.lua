-- End a user's sessions: one, all but one, or all. Their keys share the list's slot.
-- KEYS: the user's list · ARGV: the prefix of a session's key, the handle to end or '', the handle
-- to keep or ''. Returns how many were ended.
local ended = 0
local handles = {ARGV[2]}
if ARGV[2] == '' then handles = redis.call('ZRANGE', KEYS[1], 0, -1) end
for _, handle in ipairs(handles) do
  if handle ~= ARGV[3] and redis.call('ZREM', KEYS[1], handle) == 1 then
    ended = ended + redis.call('UNLINK', ARGV[1] .. handle)
  end
end
return ended
