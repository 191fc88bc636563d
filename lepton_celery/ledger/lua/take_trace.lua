-- Gives the right to export the spans of a job that has ended to the first who asks, once for each time that it ended.
-- Returns 1, or 0 if it has not ended or somebody has the right.
local job = redis.call('HMGET', JOB, 'state', 'resumed', 'traced')
local run = job[2] or '0'
if not job[1] or job[1] == 'running' or job[1] == 'paused' or job[3] == run then
    return 0
end
redis.call('HSET', JOB, 'traced', run)
return 1
