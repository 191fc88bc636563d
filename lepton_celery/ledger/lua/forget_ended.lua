-- Removes everything that is recorded of a job that has ended and cannot be resumed. Returns 1, also if there is no such job, or
-- 0 if the job has not ended.
local state = redis.call('HGET', JOB, 'state')
if state and state ~= 'done' and state ~= 'cancelled' then
    return 0
end
redis.call('UNLINK', unpack(KEYS))
return 1
