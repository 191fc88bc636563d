-- Begins a merge. Returns its fence, or false if no merge may begin.
-- ARGV: stage, owner, lease_s
local stage, owner, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not is_current(stage) or not has_all_receipts() then
    return false
end
local at = now()
local is_held = number('merge_fence') ~= 0 and number('merge_until') > at
if is_held and redis.call('HGET', JOB, 'merge_owner') ~= owner then
    return false
end
local fence = redis.call('HINCRBY', JOB, 'fence', 1)
redis.call('HINCRBY', JOB, 'merge_attempts', 1)
redis.call('HSET', JOB, 'merge_fence', fence, 'merge_owner', owner, 'merge_until', stamp(at + lease_s))
touch(at)
return fence
