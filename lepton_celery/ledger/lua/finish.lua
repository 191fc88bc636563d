-- Ends a job as failed or cancelled: 1, or 0 when it had ended, or is being published and was to be cancelled. Receipts
-- stay, for whoever looks why or resumes it.
-- ARGV: call, state, reason, stage, block
local call, state, reason, stage, block = unpack(ARGV)
local job = redis.call('HMGET', JOB, 'state', 'finished_by')
if job[2] == call then
    return 1 -- the client's connection broke and it sent the same call again
end
if job[1] ~= 'running' and job[1] ~= 'paused' or state == 'cancelled' and number('publishing') == 1 then
    return 0
end
local at = stamp(now())
redis.call('HSET', JOB, 'state', state, 'error', reason, 'error_stage', stage, 'error_block', block,
    'merge_fence', 0, 'finished', at, 'updated', at, 'finished_by', call)
redis.call('DEL', LEASES, HOLDINGS, ATTEMPTS, REOPENED, DOUBLED)
announce_end()
return 1
