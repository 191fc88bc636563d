-- Ends a job as failed or cancelled. Returns 1, or 2 if its notice is to be sent, or 0 if the job has ended, or is to be cancelled while it is published.
-- Receipts of a failed job stay, so that it can be resumed; of a cancelled job only what a done job leaves stays too.
-- ARGV: state, reason, stage, place, call
local state, reason, stage, place, call = unpack(ARGV)
local job = redis.call('HMGET', JOB, 'state', 'finished_by')
if job[2] == call then
    return ended() -- a retry of the same call, whose connection broke
end
if job[1] ~= 'running' and job[1] ~= 'paused' or state == 'cancelled' and number('publishing') == 1 then
    return 0
end
local at = stamp(now())
redis.call('HSET', JOB, 'state', state, 'error', reason, 'error_stage', stage, 'error_place', place,
    'merge_fence', 0, 'finished', at, 'updated', at, 'finished_by', call)
redis.call('DEL', LEASES, HOLDINGS, ATTEMPTS, REOPENED, DUPLICATED, KILLERS, RELEASED, SLOTS)
if state == 'cancelled' then
    redis.call('DEL', RECEIPTS, REASONS, TRACEBACKS)
end
owe_notice(state, at)
announce_end()
return ended()
