-- Put before every other script. KEYS are the keys of one job, always all of them and in this order, so that they are
-- declared (Redis Cluster) and a script never builds a key's name.
local JOB, RECEIPTS, LEASES, HOLDINGS, ATTEMPTS, REOPENED, STATS, MANIFEST, RESULT, HOLES, REASONS, DOUBLED =
    unpack(KEYS)

-- The server's clock, in seconds. Workers' clocks differ by more than a lease may be wrong.
local function now()
    local time = redis.call('TIME')
    return time[1] + time[2] / 1e6
end

local function stamp(seconds)
    return string.format('%.6f', seconds)
end

local function number(field)
    return tonumber(redis.call('HGET', JOB, field) or '0')
end

local function touch(seconds)
    redis.call('HSET', JOB, 'updated', stamp(seconds))
end

-- When a stage began, had all its receipts, and ended; told apart from statistics by the mark before the name.
local function mark(stage, name, seconds)
    redis.call('HSET', STATS, stage .. ' @' .. name, stamp(seconds))
end

-- Tells who waits for the job that it has ended. They look for themselves too: a server's rules may forbid the channel.
local function announce_end()
    redis.pcall('PUBLISH', string.sub(JOB, 1, -4) .. 'ended', '')
end

local function is_current(stage)
    local job = redis.call('HMGET', JOB, 'state', 'stage')
    return job[1] == 'running' and job[2] == stage
end

-- A paused job starts nothing, but what was at work when it was paused may end.
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

-- Blocks travel as one string of decimals: a thousand arguments would cost the client more than the whole script.
local function numbers(text)
    local list = {}
    for block in string.gmatch(text, '%d+') do
        list[#list + 1] = block
    end
    return list
end

-- The first block the current stage does not have, before anything is written: SETBIT on it would grow the bitmap.
local function beyond(blocks)
    local total = number('total')
    for _, block in ipairs(blocks) do
        if tonumber(block) >= total then
            return {-1, block, total}
        end
    end
end

-- A lease is kept as "until call since owner". The owner comes last because it may hold blanks.
local function parse_lease(lease)
    if lease then
        local expiry, call, since, owner = string.match(lease, '^(%S+) (%S+) (%S+) (.*)$')
        return tonumber(expiry), call, owner, tonumber(since)
    end
end

local function lease_text(expiry, call, owner, since)
    return stamp(expiry) .. ' ' .. call .. ' ' .. stamp(since) .. ' ' .. owner
end

local function lease_of(block)
    return parse_lease(redis.call('HGET', LEASES, block))
end

-- HOLDINGS lists for each owner the blocks it claimed, so that a heartbeat costs the owner's blocks, not the window's.
-- It may list too many (another owner took one over); LEASES decides.
local function set_holding(owner, blocks)
    if #blocks == 0 then
        redis.call('HDEL', HOLDINGS, owner)
    else
        redis.call('HSET', HOLDINGS, owner, table.concat(blocks, ' '))
    end
end

local function let_go(owner, blocks)
    local holding = redis.call('HGET', HOLDINGS, owner)
    if not holding then
        return
    end
    local gone = {}
    for _, block in ipairs(blocks) do
        gone[block] = true
    end
    local rest = {}
    for _, block in ipairs(numbers(holding)) do
        if not gone[block] then
            rest[#rest + 1] = block
        end
    end
    set_holding(owner, rest)
end

-- Says of each of the blocks whether it has its receipt; the stretch of the bitmap that holds them is read at once.
local function received(blocks)
    local first, last = math.huge, 0
    for _, block in ipairs(blocks) do
        local byte = math.floor(block / 8)
        first, last = math.min(first, byte), math.max(last, byte)
    end
    local bytes = #blocks > 0 and redis.call('GETRANGE', RECEIPTS, first, last) or ''
    return function(block)
        local byte = string.byte(bytes, math.floor(block / 8) - first + 1) or 0
        return bit.band(byte, bit.rshift(128, block % 8)) ~= 0 -- SETBIT numbers from the highest bit
    end
end

-- The values of fields of a hash, false for those it does not have.
local function fields_of(key, fields)
    local values = {}
    for first = 1, #fields, 1000 do
        for _, value in ipairs(redis.call('HMGET', key, unpack(fields, first, math.min(first + 999, #fields)))) do
            values[#values + 1] = value
        end
    end
    return values
end

-- Fields of a hash dropped in chunks: unpack() overflows Lua's stack at about 8,000.
local function drop_fields(key, fields)
    for first = 1, #fields, 1000 do
        redis.call('HDEL', key, unpack(fields, first, math.min(first + 999, #fields)))
    end
end
