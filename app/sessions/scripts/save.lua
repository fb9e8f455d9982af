-- Write what a request changed, unless the session has ended meanwhile: a request that overlaps a
-- logout must not bring it back. Whole fields, so that two requests changing different keys both win.
-- KEYS: session · ARGV: as delta.lua says
if redis.call('HEXISTS', KEYS[1], '@end') == 0 then return 0 end
apply(KEYS[1], 1)
return 1
