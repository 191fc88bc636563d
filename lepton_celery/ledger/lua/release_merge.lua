-- Releases the lease on the merge, and voids its fence.
-- ARGV: stage, fence
if not holds_merge(ARGV[1], ARGV[2]) then
    return 0
end
redis.call('HSET', JOB, 'merge_fence', 0)
touch(now())
return 1
