-- Removes a job from a lane, and its tenant if it was the last of its jobs.
-- ARGV: job
local id = ARGV[1]
local job = read_job(id)
redis.call('SREM', SENT, id)
if not job then
    return 0
end
redis.call('HDEL', JOBS, id)
redis.call('ZREM', ORDER, job.member)
if count_of(job.tenant) == 0 then
    redis.call('HDEL', TENANTS, job.tenant)
end
return 1
