-- Write the changes of a request, unless the session has ended: a request that overlaps a logout
-- must not restore it. Only changed fields are written, so two requests can change different keys.
-- KEYS: session · ARGV: those of delta.lua
if redis.call('HEXISTS', KEYS[1], '@end') == 0 then return 0 end
apply(KEYS[1], 1)
return 1
