-- Prefix of load, create, end and list. ARGV[1]: the time in ms, or '' for this server's clock,
-- which is the same for all workers.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
