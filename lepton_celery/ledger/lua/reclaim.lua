-- Takes blocks whose lease is over from their owners, each an attempt lost: as a string of decimals in index order.
-- ARGV: stage, limit
local stage, limit = ARGV[1], tonumber(ARGV[2])
if not is_current(stage) then
    return ''
end
local at = now()
local over = {}
for _, block in ipairs(redis.call('HKEYS', LEASES)) do
    if lease_of(block) <= at then
        over[#over + 1] = tonumber(block)
    end
end
if #over == 0 then
    return ''
end
table.sort(over)
local taken = {}
for n = 1, math.min(#over, limit) do
    local block = string.format('%d', over[n])
    redis.call('HDEL', LEASES, block)
    redis.call('HINCRBY', ATTEMPTS, block, 1)
    taken[n] = block
end
touch(at)
return table.concat(taken, ' ')
