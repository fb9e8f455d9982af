-- Prefix of end, redeem and revoke: end one session of a user, or all but one. A session ends with its
-- remember token and a token with its sessions: they are one browser's, whose requests in parallel can
-- have begun several. The one that is kept loses its token. Returns how many sessions were ended.
--
-- A damaged value, of another type than a hash, counts as a hash without fields.
local function fields(key, ...)
  local got = redis.pcall('HMGET', key, ...)
  return got.err and {} or got
end

local function drop(list, prefix, only, but)
  if only ~= '' and not redis.call('ZSCORE', list, only) then return 0 end
  local token = only ~= '' and (fields(prefix .. only, '@remember')[1] or only)
  local ended = 0
  for _, handle in ipairs(redis.call('ZRANGE', list, 0, -1)) do
    local it = fields(prefix .. handle, '@token', '@remember')
    local meant = only == '' or handle == only or handle == token or it[2] == token
    if meant and handle ~= but then
      redis.call('ZREM', list, handle)
      local gone = redis.call('UNLINK', prefix .. handle)
      if not it[1] then ended = ended + gone end
    end
  end
  return ended
end
