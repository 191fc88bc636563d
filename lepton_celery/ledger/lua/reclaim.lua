-- Removes expired leases, each an attempt lost. Returns the places as text, in ascending order.
-- ARGV: stage, limit
local stage, limit = ARGV[1], tonumber(ARGV[2])
if not is_current(stage) then
    return ''
end
local at = now()
local over = {}
for _, place in ipairs(redis.call('HKEYS', LEASES)) do
    if lease_of(place) <= at then
        over[#over + 1] = tonumber(place)
    end
end
if #over == 0 then
    return ''
end
table.sort(over)
local reclaimed = {}
for n = 1, math.min(#over, limit) do
    local place = string.format('%d', over[n])
    redis.call('HDEL', LEASES, place)
    redis.call('HINCRBY', ATTEMPTS, place, 1)
    reclaimed[n] = place
end
touch(at)
return table.concat(reclaimed, ' ')
