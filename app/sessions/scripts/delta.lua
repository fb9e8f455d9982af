-- What save and move begin with. ARGV[at] tells how many names follow; those fields go, and the
-- names and values after them are set. Sets first: where memory is full they fail, and then
-- nothing has changed yet.
local function apply(key, at)
  local gone = tonumber(ARGV[at])
  for i = at + gone + 1, #ARGV, 2 do
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
  for i = at + 1, at + gone do
    redis.call('HDEL', key, ARGV[i])
  end
end
