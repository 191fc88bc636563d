-- Changes the lane and the rank of an open job, and its tenant unless that is '*'. Returns the lane before, or false if the job has
-- ended.
-- ARGV: lane, rank, tenant
local lane, rank, tenant = unpack(ARGV)
local job = redis.call('HMGET', JOB, 'state', 'lane')
if job[1] ~= 'running' and job[1] ~= 'paused' then
    return false
end
redis.call('HSET', JOB, 'lane', lane, 'rank', rank)
if tenant ~= '*' then
    redis.call('HSET', JOB, 'tenant', tenant)
end
return job[2]
