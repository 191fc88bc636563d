-- Continues a paused or failed job in its stage. Returns 1, or 2 if it had failed, or 0 if it is neither. Lost attempts are reset, and the filled
-- blocks of this stage lose their receipts.
-- ARGV: call
local call = ARGV[1]
local job = redis.call('HMGET', JOB, 'state', 'stage', 'resumed_by')
if job[3] == call then
    return 1 -- a retry of the same call, whose connection broke
end
if job[1] ~= 'paused' and job[1] ~= 'failed' then
    return 0
end
reopen_filled(job[2])
redis.call('DEL', ATTEMPTS, REASONS, DUPLICATED, KILLERS, RELEASED, TRACEBACKS)
redis.call('HDEL', JOB, 'merge_attempts', 'finished', 'error', 'error_stage', 'error_place', 'finished_by')
redis.call('HSET', JOB, 'state', 'running', 'resumed_by', call)
local at = now()
if job[1] == 'failed' then
    redis.call('HINCRBY', JOB, 'resumed', 1)
    redis.call('HSET', JOB, 'resumed_at', stamp(at))
end
redis.call('HSETNX', STATS, job[2] .. ' @began', stamp(at))
touch(at)
return job[1] == 'failed' and 2 or 1
