-- Chooses the job that may send its next wave. Returns {job, blocks, most blocks of a batch, most batches (0: any number), whether
-- the wave goes before the messages that wait (0 or 1)}, or false if no job may.
-- ARGV: the only job that may get the turn ('' for any); slots; seconds of the window, of a wave and of a batch for each slot, for a
-- job that is alone in its lane and for several; seconds of the shortest wave; then for each tenant with terms of its own its name,
-- weight and slots (0: no limit), '*' for all others
--
-- This is start-time fair queueing (Goyal, Vin and Cheng, 1996) over tenants, and over a tenant's jobs of one rank. The service
-- is the measured time of their blocks. What a job may have in the broker is its share of the lane's window, so that a wave is sent
-- shortly before it is worked on.
local only, slots = ARGV[1], tonumber(ARGV[2])
local times, jobs = read_tenants(), read_sent()
local count = redis.call('ZCARD', ORDER)
local offset = count > 1 and 6 or 3
local window_s, wave_s, batch_s = slots * ARGV[offset], slots * ARGV[offset + 1], tonumber(ARGV[offset + 2])
local terms = {['*'] = {weight = 1, slots = 0}}
for i = 10, #ARGV, 3 do
    terms[ARGV[i]] = {weight = tonumber(ARGV[i + 1]), slots = tonumber(ARGV[i + 2])}
end

-- Of the jobs of a tenant that have nothing in the broker, only the first one may get the turn.
local tenants, weights = {}, 0
for name, time in pairs(times) do
    local tenant = {highest = -1, used = 0, queued = 0, messages = 0, time = time, terms = terms[name] or terms['*']}
    tenants[name], weights = tenant, weights + tenant.terms.weight
    local job, id = first_of(name, WAITS)
    if job then
        jobs[id] = job
    end
end
local of_rank = {}
for id, job in pairs(jobs) do
    local tenant, key = tenants[job.tenant], job.tenant .. ' ' .. job.rank
    if tenant and not of_rank[key] then
        local tenth = 9 - job.rank
        of_rank[key] = count_of(job.tenant, WAITS, tenth) + count_of(job.tenant, GOES_ON, tenth)
            + count_of(job.tenant, SENT_ALL, tenth)
    end
    if not tenant then
        jobs[id] = nil
    elseif job.waits then
        tenant.highest = math.max(tenant.highest, job.rank)
    end
end

-- A block that takes long occupies its slot only, so it counts as half of the slot's part of the window. What a job has sent far
-- beyond its share is its own affair, and keeps no other job waiting: its blocks may take longer than was predicted.
local longest_s, total_s = window_s / slots / 2, 0
for _, job in pairs(jobs) do
    local tenant = tenants[job.tenant]
    tenant.share = window_s * tenant.terms.weight / weights
    job.share = tenant.share / math.max(1, of_rank[job.tenant .. ' ' .. job.rank])
    job.sent_s = job.sent * math.min(job.cost, longest_s)
    job.used = job.sent_s > job.share + wave_s and job.share or job.sent_s
    job.batch = math.max(1, math.floor(batch_s / math.max(job.cost, 1e-6)))
    tenant.used = tenant.used + job.used
    tenant.queued = tenant.queued + job.sent_s
    tenant.messages = tenant.messages + math.ceil(job.sent / job.batch)
    total_s = total_s + job.used
end

local function may_send(job)
    local tenant = tenants[job.tenant]
    local has_slot = tenant.terms.slots == 0 or tenant.messages < tenant.terms.slots
    local within_job = job.sent == 0 or job.sent_s < 0.99 * job.share
    local within_lane = tenant.messages == 0 or tenant.used < 0.99 * tenant.share and total_s < 0.99 * window_s
    return job.waits and job.rank == tenant.highest and has_slot and within_job and within_lane
end

-- the tenant's service with what is being served, and the job's
local function service(job)
    local tenant = tenants[job.tenant]
    return tenant.time + tenant.used / tenant.terms.weight, job.time + job.used
end

local function is_before(id, job, other_id, other)
    local time, own_time = service(job)
    local other_time, other_own_time = service(other)
    if job.tenant ~= other.tenant then
        return time < other_time or time == other_time and job.tenant < other.tenant
    end
    return own_time < other_own_time or own_time == other_own_time and id < other_id
end

local chosen, chosen_id
for id, job in pairs(jobs) do
    if may_send(job) and (not chosen or is_before(id, job, chosen_id, chosen)) then
        chosen, chosen_id = job, id
    end
end
if not chosen or only ~= '' and only ~= chosen_id then
    return false
end

-- A wave goes before the messages that wait or behind them: where it would be nearer to its place if they were in the order of
-- the service that they begin with. So it goes first unless it is ahead of half of what another job has sent.
local tenant, is_first = tenants[chosen.tenant], count > 1
local time, own_time = service(chosen)
for _, job in pairs(jobs) do
    if is_first and job ~= chosen and job.sent > 0 then
        if job.tenant ~= chosen.tenant then
            local other = tenants[job.tenant]
            is_first = time <= other.time + math.min(other.queued, window_s) / 2 / other.terms.weight
        else
            is_first = chosen.rank > job.rank or chosen.rank == job.rank and own_time <= job.time + math.min(job.sent_s, window_s) / 2
        end
    end
end
local length_s = math.min(wave_s, math.max(chosen.share, tonumber(ARGV[9])))
local blocks = math.max(1, math.floor(length_s / math.max(chosen.cost, 1e-6)))
local messages = tenant.terms.slots > 0 and tenant.terms.slots - tenant.messages or 0
if messages > 0 then
    blocks = math.min(blocks, messages * chosen.batch)
end
chosen.sent = chosen.sent + blocks
write_job(chosen_id, chosen)
return {chosen_id, blocks, chosen.batch, messages, is_first and 1 or 0}
