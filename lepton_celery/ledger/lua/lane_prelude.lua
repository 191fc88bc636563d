-- Prepended to the scripts of lanes, whose names begin with lane_. KEYS are the keys of one lane: its jobs and its tenants.
local JOBS, TENANTS = unpack(KEYS)
local UNKNOWN_S = 0.1 -- what a block takes if nobody says so, in seconds

-- Whether a text that was read is a number in a range; neither NaN nor an infinity is.
local function is_within(number, lowest, highest)
    return number and number >= lowest and number <= highest
end

-- The jobs by id, and the seconds of service of each tenant. An entry that is damaged is removed: the sweeper writes it anew.
local function read_lane()
    local jobs, times, listed = {}, {}, redis.call('HGETALL', JOBS)
    for i = 1, #listed, 2 do
        local waits, sent, cost, time, rank, tenant = string.match(listed[i + 1], '^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
        local job = {waits = waits == '1', sent = tonumber(sent), cost = tonumber(cost), time = tonumber(time),
            rank = tonumber(rank), tenant = tenant}
        if tenant and is_within(job.sent, 0, 2 ^ 32) and is_within(job.cost, -1e9, 1e9) and is_within(job.time, 0, 1e12)
            and is_within(job.rank, 0, 9) then
            job.is_predicted, job.cost = job.cost < 0, math.abs(job.cost)
            jobs[listed[i]] = job
        else
            redis.call('HDEL', JOBS, listed[i])
        end
    end
    local served = redis.call('HGETALL', TENANTS)
    for i = 1, #served, 2 do
        local time = tonumber(served[i + 1])
        times[served[i]] = is_within(time, 0, 1e12) and time or 0
    end
    return jobs, times
end

local function write_job(id, job)
    local cost = job.is_predicted and -job.cost or job.cost -- negative until it is measured
    redis.call('HSET', JOBS, id, string.format('%d %.0f %.9g %.6f %d %s', job.waits and 1 or 0, job.sent, cost, job.time,
        job.rank, job.tenant))
end

-- The shortest service of the jobs, or of the tenants, that a function accepts; 0 if it accepts none.
local function least(times)
    local found
    for _, time in pairs(times) do
        found = math.min(found or time, time)
    end
    return found or 0
end
