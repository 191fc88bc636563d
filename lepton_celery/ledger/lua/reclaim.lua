-- Removes expired leases, each an attempt lost. A block whose owner held nothing else, and that has lost an attempt before, may end
-- whole workers: it is a killer until it is received. A first time is the fate of every block whose worker is stopped or cut off.
-- Returns {places as text, in ascending order, number of killers, number of blocks done}.
-- ARGV: stage, limit
local stage, limit = ARGV[1], tonumber(ARGV[2])
if not is_current(stage) then
    return {'', 0, 0}
end
local at = now()
local over, holders, held = {}, {}, {}
for _, place in ipairs(redis.call('HKEYS', LEASES)) do
    local expiry, _, holder = lease_of(place)
    if expiry <= at then
        over[#over + 1] = tonumber(place)
        holders[tonumber(place)] = holder
        held[holder] = (held[holder] or 0) + 1
    end
end
table.sort(over)
local reclaimed = {}
for n = 1, math.min(#over, limit) do
    local place = string.format('%d', over[n])
    redis.call('HDEL', LEASES, place)
    if lose_attempt(place, true) > 1 and held[holders[over[n]]] == 1 then
        redis.call('SADD', KILLERS, place)
    end
    reclaimed[n] = place
end
if #over > 0 then
    redis.call('HINCRBY', JOB, 'expired_blocks', #reclaimed)
    touch(at)
end
return {table.concat(reclaimed, ' '), redis.call('SCARD', KILLERS), number('done')}
