-- Prefix of load, save, move and end. A session has a name for each secret key: that in use, then
-- those of SECRET_KEY_FALLBACKS. KEYS[first] to KEYS[last] are its names; `session` becomes the one
-- that exists, and `place` its distance from the first.
local session, place
local function find(first, last)
  session, place = KEYS[first], 0
  for i = first + 1, last do
    if redis.call('EXISTS', session) == 0 then session, place = KEYS[i], i - first end
  end
end
local function handle(name) return name:match('[^:]*$') end
