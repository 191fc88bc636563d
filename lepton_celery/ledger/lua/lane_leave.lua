-- Removes a job from a lane, and its tenant if it was the last of its jobs.
-- ARGV: job
local id = ARGV[1]
local jobs = read_lane()
if not jobs[id] then
    return 0
end
redis.call('HDEL', JOBS, id)
for other, job in pairs(jobs) do
    if other ~= id and job.tenant == jobs[id].tenant then
        return 1
    end
end
redis.call('HDEL', TENANTS, jobs[id].tenant)
return 1
