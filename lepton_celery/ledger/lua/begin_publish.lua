-- Marks the job as being published. Returns 1, or 0 for a stale fence or a job that is not running.
-- ARGV: stage, fence
if not is_current(ARGV[1]) or not holds_merge(ARGV[1], ARGV[2]) then
    return 0
end
redis.call('HSET', JOB, 'publishing', 1)
touch(now())
return 1
