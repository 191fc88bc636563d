-- Notes a job in a lane, or what is known of it now. A new tenant and a new job begin with the service of the least served one,
-- so that an idle time gives no credit (start-time fair queueing).
-- ARGV: job, tenant, rank, whether it has blocks to send (0 or 1), blocks sent and not done, seconds that a block takes
local id, tenant, rank, waits, sent, cost = unpack(ARGV)

-- The least service of the tenant's jobs; 0 if it has none. The first job of each state and rank has the least of those.
local function least_of_jobs()
    local least
    for _, state in ipairs({WAITS, GOES_ON, SENT_ALL}) do
        for rank = 0, 9 do
            local job = first_of(tenant, state, 9 - rank)
            least = job and math.min(least or job.time, job.time) or least
        end
    end
    return least or 0
end

if string.find(id .. tenant, '%s') then
    return 0 -- the entry of the job is damaged
end
local job = read_job(id)
local cost_before = job and job.cost
if job and job.tenant ~= tenant then
    redis.call('ZREM', ORDER, job.member)
    job = nil
end
if not job then
    local times, least = read_tenants(), nil
    if not times[tenant] then
        for _, time in pairs(times) do
            least = math.min(least or time, time)
        end
        redis.call('HSET', TENANTS, tenant, string.format('%.6f', least or 0))
    end
    job = {time = least_of_jobs(), cost = tonumber(cost) or cost_before or UNKNOWN_S, is_predicted = true}
elseif cost ~= '' then
    job.cost, job.is_predicted = tonumber(cost), true
end
job.tenant, job.rank, job.waits, job.sent = tenant, tonumber(rank), waits == '1', tonumber(sent)
write_job(id, job)
return 1
