-- Ends a job as failed or cancelled: 1, or 0 if it had ended, or is being published and was to be cancelled. Receipts stay,
-- for whoever looks into the reason or resumes the job.
-- ARGV: state, reason, stage, place, call
local state, reason, stage, place, call = unpack(ARGV)
local job = redis.call('HMGET', JOB, 'state', 'finished_by')
if job[2] == call then
    return 1 -- the same call again, after its connection broke
end
if job[1] ~= 'running' and job[1] ~= 'paused' or state == 'cancelled' and number('publishing') == 1 then
    return 0
end
local at = stamp(now())
redis.call('HSET', JOB, 'state', state, 'error', reason, 'error_stage', stage, 'error_place', place,
    'merge_fence', 0, 'finished', at, 'updated', at, 'finished_by', call)
redis.call('DEL', LEASES, HOLDINGS, ATTEMPTS, REOPENED, DUPLICATED)
announce_end()
return 1
