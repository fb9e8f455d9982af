-- What load, create and list begin with: ARGV[1] is the time in ms, or '' for this server's own.
-- Workers' clocks drift apart; Redis's clock is the same for all of them.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
