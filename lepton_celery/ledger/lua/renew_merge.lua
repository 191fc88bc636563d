-- Extends the lease on the merge: 1, or 0 for a stale fence.
-- ARGV: stage, fence, lease_s
local stage, fence, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not holds_merge(stage, fence) then
    return 0
end
redis.call('HSET', JOB, 'merge_until', stamp(now() + lease_s))
return 1
