-- Releases the lease on the merge, and voids its fence.
-- ARGV: stage, fence, count (1 or 0): whether this was an attempt
if not holds_merge(ARGV[1], ARGV[2]) then
    return 0
end
redis.call('HSET', JOB, 'merge_fence', 0)
if ARGV[3] == '0' then
    redis.call('HINCRBY', JOB, 'merge_attempts', -1)
end
touch(now())
return 1
