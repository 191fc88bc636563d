-- Ends the leases of an owner whose process died, each an attempt lost, and its lease on the merge. If the process worked on a
-- single block and no other reason is known, the block is a killer until it is received.
-- Returns {places as text, number of killers, number of blocks done}.
-- ARGV: stage, owner, reason ('' for none)
local stage, owner, reason = ARGV[1], ARGV[2], ARGV[3]
if not is_open(stage) then
    return {'', 0, 0}
end
local at = now()
local lost = {}
for _, place in ipairs(parse_places(redis.call('HGET', HOLDINGS, owner) or '')) do
    local expiry, _, holder = lease_of(place)
    if expiry and holder == owner then
        redis.call('HDEL', LEASES, place)
        lose_attempt(place, true)
        lost[#lost + 1] = place
        if reason ~= '' then
            redis.call('HSET', REASONS, place, reason)
        end
    end
end
redis.call('HDEL', HOLDINGS, owner)
if #lost == 1 and reason == '' then
    redis.call('SADD', KILLERS, lost[1])
end
if number('merge_fence') ~= 0 and redis.call('HGET', JOB, 'merge_owner') == owner then
    redis.call('HSET', JOB, 'merge_until', stamp(at))
end
if #lost > 0 then
    touch(at)
end
return {table.concat(lost, ' '), redis.call('SCARD', KILLERS), number('done')}
