-- Releases the owner's leases on blocks; with count, each block loses an attempt, and the reason is kept. The time is noted,
-- because the owner sends the blocks again from now on: behind the checks that are in the lane already.
-- ARGV: stage, places, owner, count (1 or 0), reason ('' for none)
local stage, places, owner, count, reason = ARGV[1], parse_places(ARGV[2]), ARGV[3], ARGV[4] == '1', ARGV[5]
if not is_open(stage) then
    return 0
end
local at = stamp(now())
for _, place in ipairs(places) do
    local expiry, _, holder = lease_of(place)
    if expiry and holder == owner then
        redis.call('HDEL', LEASES, place)
        redis.call('ZADD', RELEASED, at, place)
        if count then
            lose_attempt(place)
            if reason ~= '' then
                redis.call('HSET', REASONS, place, reason)
            end
        end
    end
end
remove_from_holding(owner, places)
return 1
