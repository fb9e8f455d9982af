-- Prefix of save and move. ARGV[at]: the number of names that follow; those fields are removed, and
-- the names and values after them are set. The sets come first: they fail when memory is full, and
-- nothing has changed then.
local function apply(key, at)
  local gone = tonumber(ARGV[at])
  for i = at + gone + 1, #ARGV, 2 do
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
  for i = at + 1, at + gone do
    redis.call('HDEL', key, ARGV[i])
  end
end
