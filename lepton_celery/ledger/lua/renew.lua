-- Extends every lease that the owner holds: 1, or 0 when the job is no longer running in that stage.
-- ARGV: stage, owner, lease_s
local stage, owner, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not is_open(stage) then
    return 0
end
local expiry_new = now() + lease_s
local kept, seen = {}, {}
for _, block in ipairs(numbers(redis.call('HGET', HOLDINGS, owner) or '')) do
    local expiry, call, holder, since = lease_of(block)
    if expiry and holder == owner and not seen[block] then
        set_lease(block, expiry_new, call, owner, since)
        kept[#kept + 1] = block
        seen[block] = true
    end
end
set_holding(owner, kept)
if number('merge_fence') ~= 0 and redis.call('HGET', JOB, 'merge_owner') == owner then
    redis.call('HSET', JOB, 'merge_until', stamp(expiry_new))
end
return 1
