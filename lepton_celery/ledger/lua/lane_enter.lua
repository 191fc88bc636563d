-- Notes a job in a lane, or what is known of it now. A new tenant and a new job begin with the service of the least served one,
-- so that an idle time gives no credit (start-time fair queueing).
-- ARGV: job, tenant, rank, whether it has blocks to send (0 or 1), blocks sent and not done, seconds that a block takes
local id, tenant, rank, waits, sent, cost = unpack(ARGV)
local jobs, times = read_lane()
local job = jobs[id]
if not job then
    local others, tenants = {}, {}
    for other, known in pairs(jobs) do
        tenants[known.tenant] = times[known.tenant] or 0
        if known.tenant == tenant then
            others[other] = known.time
        end
    end
    if not tenants[tenant] then
        redis.call('HSET', TENANTS, tenant, string.format('%.6f', least(tenants)))
    end
    job = {time = least(others), tenant = tenant, cost = tonumber(cost) or UNKNOWN_S, is_predicted = true}
elseif cost ~= '' then
    job.cost, job.is_predicted = tonumber(cost), true
end
job.rank, job.waits, job.sent = tonumber(rank), waits == '1', tonumber(sent)
write_job(id, job)
return 1
