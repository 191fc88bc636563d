-- Put before every other script. KEYS are the keys of one job, always all of them and in this order, so that they are
-- declared (Redis Cluster) and no script builds the name of a key.
local JOB, RECEIPTS, LEASES, HOLDINGS, ATTEMPTS, REOPENED, STATS, MANIFEST, RESULT, FILLED, REASONS, DUPLICATED =
    unpack(KEYS)

-- The server's clock, in seconds. Workers' clocks differ by more than a lease may be wrong.
local function now()
    local time = redis.call('TIME')
    return time[1] + time[2] / 1e6
end

local function stamp(seconds)
    return string.format('%.6f', seconds)
end

-- A field of the job that is a number; 0 if it is not set.
local function number(field)
    return tonumber(redis.call('HGET', JOB, field) or '0')
end

local function touch(seconds)
    redis.call('HSET', JOB, 'updated', stamp(seconds))
end

-- Notes when a stage began, had all its receipts, or ended. The @ before the name tells these times from statistics.
local function mark(stage, name, seconds)
    redis.call('HSET', STATS, stage .. ' @' .. name, stamp(seconds))
end

-- Tells the processes that wait for the job that it has ended. They also look for themselves: a server's rules may forbid
-- the channel.
local function announce_end()
    redis.pcall('PUBLISH', string.sub(JOB, 1, -4) .. 'ended', '')
end

-- Whether the job runs and this is its stage.
local function is_current(stage)
    local job = redis.call('HMGET', JOB, 'state', 'stage')
    return job[1] == 'running' and job[2] == stage
end

-- The same for a running or paused job: a paused job starts nothing, but blocks at work when it was paused may end.
local function is_open(stage)
    local job = redis.call('HMGET', JOB, 'state', 'stage')
    return (job[1] == 'running' or job[1] == 'paused') and job[2] == stage
end

local function has_all_receipts()
    return number('done') == number('total')
end

local function holds_merge(stage, fence)
    return is_open(stage) and fence ~= '0' and redis.call('HGET', JOB, 'merge_fence') == fence
end

-- Places travel as one text: a thousand arguments would cost the client more than the whole script.
local function parse_places(text)
    local places = {}
    for place in string.gmatch(text, '%d+') do
        places[#places + 1] = place
    end
    return places
end

-- The answer for the first place that the current stage does not have. Asked before anything is written, because SETBIT
-- would let the bitmap grow.
local function refusal_of(places)
    local total = number('total')
    for _, place in ipairs(places) do
        if tonumber(place) >= total then
            return {-1, place, total}
        end
    end
end

-- A lease is kept as "until call since owner". The owner comes last because it may contain blanks.
local function parse_lease(lease)
    if lease then
        local expiry, call, since, owner = string.match(lease, '^(%S+) (%S+) (%S+) (.*)$')
        return tonumber(expiry), call, owner, tonumber(since)
    end
end

local function format_lease(expiry, call, owner, since)
    return stamp(expiry) .. ' ' .. call .. ' ' .. stamp(since) .. ' ' .. owner
end

local function lease_of(place)
    return parse_lease(redis.call('HGET', LEASES, place))
end

-- HOLDINGS lists the places that each owner claimed, so that a renewal costs the owner's blocks and not all that are in
-- flight. It may list too many (another owner took one over); LEASES decides.
local function set_holding(owner, places)
    if #places == 0 then
        redis.call('HDEL', HOLDINGS, owner)
    else
        redis.call('HSET', HOLDINGS, owner, table.concat(places, ' '))
    end
end

local function remove_from_holding(owner, places)
    local holding = redis.call('HGET', HOLDINGS, owner)
    if not holding then
        return
    end
    local removed = {}
    for _, place in ipairs(places) do
        removed[place] = true
    end
    local rest = {}
    for _, place in ipairs(parse_places(holding)) do
        if not removed[place] then
            rest[#rest + 1] = place
        end
    end
    set_holding(owner, rest)
end

-- A function that tells of each of the places whether its block has a receipt. The stretch of the bitmap that holds them is
-- read at once.
local function receipts_of(places)
    local first, last = math.huge, 0
    for _, place in ipairs(places) do
        local byte = math.floor(place / 8)
        first, last = math.min(first, byte), math.max(last, byte)
    end
    local bytes = #places > 0 and redis.call('GETRANGE', RECEIPTS, first, last) or ''
    return function(place)
        local byte = string.byte(bytes, math.floor(place / 8) - first + 1) or 0
        return bit.band(byte, bit.rshift(128, place % 8)) ~= 0 -- SETBIT numbers from the highest bit
    end
end

-- The values of fields of a hash; false for a field that it does not have.
local function get_fields(key, fields)
    local values = {}
    for first = 1, #fields, 1000 do
        for _, value in ipairs(redis.call('HMGET', key, unpack(fields, first, math.min(first + 999, #fields)))) do
            values[#values + 1] = value
        end
    end
    return values
end

-- Removes fields of a hash, a thousand at a time: unpack() overflows Lua's stack at about 8,000.
local function remove_fields(key, fields)
    for first = 1, #fields, 1000 do
        redis.call('HDEL', key, unpack(fields, first, math.min(first + 999, #fields)))
    end
end
