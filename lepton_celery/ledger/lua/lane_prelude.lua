-- Prepended to the scripts of lanes, whose names begin with lane_. KEYS are the keys of one lane; see `connection.py`. No script
-- reads all jobs of a lane, of which there may be ten thousand: it reads those that have sent work, and finds the others in ORDER.
local JOBS, TENANTS, ORDER, SENT = unpack(KEYS)
local UNKNOWN_S = 0.1 -- what a block takes if nobody says so, in seconds
local WAITS, GOES_ON, SENT_ALL = 'a', 'b', 'c' -- a job that has blocks to send and none in the broker; some in the broker; none to send

-- Whether a text that was read is a number in a range; neither NaN nor an infinity is.
local function is_within(number, lowest, highest)
    return number and number >= lowest and number <= highest
end

local function state_of(job)
    return not job.waits and SENT_ALL or job.sent > 0 and GOES_ON or WAITS
end

-- A job's entry in ORDER, which is sorted as text: by tenant, by state, the highest rank first, then by service.
local function member_of(id, job)
    return string.format('%s %s %d %020.6f %s', job.tenant, state_of(job), 9 - job.rank, job.time, id)
end

-- The job of an entry; nil if the entry is damaged.
local function parse(id, entry)
    local waits, sent, cost, time, rank, tenant = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S*)$')
    local job = {waits = waits == '1', sent = tonumber(sent), cost = tonumber(cost), time = tonumber(time),
        rank = tonumber(rank), tenant = tenant}
    if tenant and is_within(job.sent, 0, 2 ^ 32) and is_within(job.cost, -1e9, 1e9) and is_within(job.time, 0, 1e12)
        and is_within(job.rank, 0, 9) then
        job.is_predicted, job.cost = job.cost < 0, math.abs(job.cost)
        job.member = member_of(id, job)
        return job
    end
end

-- A job by its id; nil if there is none. An entry that is damaged is removed: the sweeper writes it anew.
local function read_job(id)
    local entry = redis.call('HGET', JOBS, id)
    local job = entry and parse(id, entry)
    if entry and not job then
        redis.call('HDEL', JOBS, id)
    end
    return job
end

-- The jobs by id that have work in the broker.
local function read_sent()
    local jobs, ids = {}, redis.call('SMEMBERS', SENT)
    for first = 1, #ids, 1000 do -- unpack() overflows Lua's stack at about 8,000
        local last = math.min(first + 999, #ids)
        for n, entry in ipairs(redis.call('HMGET', JOBS, unpack(ids, first, last))) do
            local id = ids[first + n - 1]
            jobs[id] = entry and parse(id, entry) or nil
            if not jobs[id] then
                redis.call('SREM', SENT, id)
            end
        end
    end
    return jobs
end

local function write_job(id, job)
    local cost = job.is_predicted and -job.cost or job.cost -- negative until it is measured
    local member = member_of(id, job)
    if job.member ~= member then
        if job.member then
            redis.call('ZREM', ORDER, job.member)
        end
        job.member = member
    end
    redis.call('ZADD', ORDER, 0, member)
    redis.call(job.sent > 0 and 'SADD' or 'SREM', SENT, id)
    redis.call('HSET', JOBS, id, string.format('%d %.0f %.9g %.6f %d %s', job.waits and 1 or 0, job.sent, cost, job.time,
        job.rank, job.tenant))
end

-- The entries of ORDER that begin with these words are the members between the two texts that this returns.
local function between(...)
    local words = table.concat({...}, ' ')
    return '[' .. words .. ' ', '(' .. words .. '!' -- which follows the blank
end

local function count_of(...)
    return redis.call('ZLEXCOUNT', ORDER, between(...))
end

-- The job that comes first among those whose entries begin with these words, with its id; nil if there is none.
local function first_of(...)
    local from, to = between(...)
    while true do
        local member = redis.call('ZRANGEBYLEX', ORDER, from, to, 'LIMIT', 0, 1)[1]
        local id = member and string.match(member, '(%S+)$')
        local job = id and read_job(id)
        if not member or job and job.member == member then
            return job, id
        end
        redis.call('ZREM', ORDER, member) -- left behind by damage
    end
end

-- The seconds of service of each tenant that has jobs.
local function read_tenants()
    local times, served = {}, redis.call('HGETALL', TENANTS)
    for i = 1, #served, 2 do
        if count_of(served[i]) > 0 then
            local time = tonumber(served[i + 1])
            times[served[i]] = is_within(time, 0, 1e12) and time or 0
        else
            redis.call('HDEL', TENANTS, served[i])
        end
    end
    return times
end
