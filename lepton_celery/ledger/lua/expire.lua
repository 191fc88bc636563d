-- Keeps a job that ended long ago from being resumed, so that its files can be removed: a failed job becomes a cancelled one.
-- Returns 1, also for a cancelled job and if there is none, or 0 if the job has not ended, or not as long ago.
-- ARGV: older_s
local state = redis.call('HGET', JOB, 'state')
if not state then
    return 1 - redis.call('EXISTS', JOB)
elseif state == 'cancelled' then
    return 1
elseif state ~= 'failed' and state ~= 'done' or now() - number('finished') < tonumber(ARGV[1]) then
    return 0
elseif state == 'failed' then
    redis.call('HSET', JOB, 'state', 'cancelled')
    redis.call('DEL', RECEIPTS, REASONS, TRACEBACKS)
end
return 1
