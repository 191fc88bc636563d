-- Lets a paused or failed job go on where it stands: 1, or 0 when it is neither.
-- ARGV: call
--
-- Lost attempts are forgiven, and blocks of this stage that were given up are to be done after all.
local call = ARGV[1]
local job = redis.call('HMGET', JOB, 'state', 'stage', 'resumed_by')
if job[3] == call then
    return 1 -- the client's connection broke and it sent the same call again
end
if job[1] ~= 'paused' and job[1] ~= 'failed' then
    return 0
end
for _, field in ipairs(redis.call('HKEYS', HOLES)) do
    local stage, block = string.match(field, '^(%d+) (%d+)$')
    if stage == job[2] then
        redis.call('HDEL', HOLES, field)
        redis.call('HINCRBY', JOB, 'holes', -1)
        if redis.call('SETBIT', RECEIPTS, block, 0) == 1 then
            redis.call('HINCRBY', JOB, 'done', -1)
        end
    end
end
redis.call('DEL', ATTEMPTS, REASONS, DOUBLED)
redis.call('HDEL', JOB, 'merge_attempts', 'finished', 'error', 'error_stage', 'error_block', 'finished_by')
redis.call('HSET', JOB, 'state', 'running', 'resumed_by', call)
local at = now()
redis.call('HSETNX', STATS, job[2] .. ' @began', stamp(at))
touch(at)
return 1
