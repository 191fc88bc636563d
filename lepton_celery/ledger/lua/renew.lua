-- Extends all leases of an owner. Returns 1, or 0 if the job has ended or left the stage.
-- ARGV: stage, owner, lease_s
local stage, owner, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not is_open(stage) then
    return 0
end
local at = now()
local new_expiry = at + lease_s
note_clock(at)
local held, seen = {}, {}
for _, place in ipairs(parse_places(redis.call('HGET', HOLDINGS, owner) or '')) do
    local expiry, call, holder, since = lease_of(place)
    if expiry and holder == owner and not seen[place] then
        redis.call('HSET', LEASES, place, format_lease(new_expiry, call, owner, since))
        held[#held + 1] = place
        seen[place] = true
    end
end
set_holding(owner, held)
if number('merge_fence') ~= 0 and redis.call('HGET', JOB, 'merge_owner') == owner then
    redis.call('HSET', JOB, 'merge_until', stamp(new_expiry))
end
return 1
