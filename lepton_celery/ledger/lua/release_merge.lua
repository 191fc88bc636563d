-- Releases the lease on the merge; its fence is void from here on.
-- ARGV: stage, fence
if not holds_merge(ARGV[1], ARGV[2]) then
    return 0
end
redis.call('HSET', JOB, 'merge_fence', 0)
touch(now())
return 1
