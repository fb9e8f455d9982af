-- Write the changes of a request, unless the session has ended: a request that overlaps a logout
-- must not restore it. Only changed fields are written, so two requests can change different keys.
-- KEYS: the session's names · ARGV: those of delta.lua
-- Returns 0 if it has ended, 1, or 2 if a session without a user was emptied and so has ended now.
find(1, #KEYS)
if redis.call('HEXISTS', session, '@end') == 0 then return 0 end
apply(session, 1)
if ARGV[1] == '0' or redis.call('HEXISTS', session, '@user') == 1 then return 1 end
for _, name in ipairs(redis.call('HKEYS', session)) do
  if not name:find('^@[^@]') then return 1 end
end
redis.call('UNLINK', session)
return 2
