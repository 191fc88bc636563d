-- Notes the work that was done of a job: it is the job's service and its tenant's, and tells what a block takes.
-- ARGV: job, blocks, seconds, weight of its tenant
local id, blocks, seconds, weight = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local job = read_job(id)
if not job or blocks <= 0 then
    return 0
end
job.sent = math.max(0, job.sent - blocks)
job.cost = job.is_predicted and seconds / blocks or (job.cost + seconds / blocks) / 2
job.is_predicted = false
job.time = job.time + seconds
write_job(id, job)
local time = tonumber(redis.call('HGET', TENANTS, job.tenant) or '0')
time = (is_within(time, 0, 1e12) and time or 0) + seconds / weight
redis.call('HSET', TENANTS, job.tenant, string.format('%.6f', time))
return 1
