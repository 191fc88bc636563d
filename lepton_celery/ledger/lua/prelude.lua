-- Prepended to every other script. KEYS are all keys of one job, in this order: Redis Cluster wants them declared.
local JOB, RECEIPTS, LEASES, HOLDINGS, ATTEMPTS, REOPENED, STATS, MANIFEST, RESULT, FILLED, REASONS, DUPLICATED, KILLERS,
    RELEASED, HISTORY, SLOTS, TRACEBACKS = unpack(KEYS)

local function stamp(seconds)
    return string.format('%.6f', seconds)
end

-- A numeric field of the job; 0 if it is not set.
local function number(field)
    return tonumber(redis.call('HGET', JOB, field) or '0')
end

-- A lease is stored as "expiry call since owner". The owner comes last because it may contain blanks.
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

-- Moves the leases of the job back with the server's clock, which was set back: otherwise they would last so much longer.
local function set_leases_back(seconds, at)
    for _, place in ipairs(redis.call('HKEYS', LEASES)) do
        local expiry, call, owner, since = lease_of(place)
        if expiry then
            redis.call('HSET', LEASES, place, format_lease(expiry - seconds, call, owner, since - seconds))
        end
    end
    if number('merge_until') > 0 then
        redis.call('HSET', JOB, 'merge_until', stamp(number('merge_until') - seconds))
    end
    redis.call('DEL', RELEASED)
    redis.call('HSET', JOB, 'clock', stamp(at), 'updated', stamp(at))
end

-- The server's clock, in seconds. The clocks of workers differ too much for leases. `clock` is its latest time at which a
-- lease was given, so an earlier time shows that it was set back.
local function now()
    local time = redis.call('TIME')
    local at = time[1] + time[2] / 1e6
    local latest = number('clock')
    if at < latest - 0.001 then -- the times are rounded
        set_leases_back(latest - at, at)
    end
    return at
end

-- Notes the time of a script that gives leases.
local function note_clock(seconds)
    redis.call('HSET', JOB, 'clock', stamp(seconds))
end

local function touch(seconds)
    redis.call('HSET', JOB, 'updated', stamp(seconds), 'clock', stamp(seconds))
end

-- Records the time of an event of a stage. The @ before its name distinguishes times from statistics.
local function mark(stage, name, seconds)
    redis.call('HSET', STATS, stage .. ' @' .. name, stamp(seconds))
end

-- Wakes the processes that wait for the end of the job. An error is ignored, because they also poll: an ACL may forbid the
-- channel.
local function announce_end()
    redis.pcall('PUBLISH', string.sub(JOB, 1, -4) .. 'ended', '')
end

-- Notes with the end of a job that its notice is to be sent, if the job has one.
local function owe_notice(state, at)
    if redis.call('HEXISTS', JOB, 'notifies') == 1 then
        redis.call('HSET', JOB, 'notice', state .. ' ' .. at)
    end
end

-- The reply of a script that ended the job: 2 if a notice of it is to be sent, or 1.
local function ended()
    return 1 + redis.call('HEXISTS', JOB, 'notice')
end

-- Whether the job is running in this stage.
local function is_current(stage)
    local job = redis.call('HMGET', JOB, 'state', 'stage')
    return job[1] == 'running' and job[2] == stage
end

-- Whether the job is running or paused in this stage. A paused job starts nothing, but blocks in progress may finish.
local function is_open(stage)
    local job = redis.call('HMGET', JOB, 'state', 'stage')
    return (job[1] == 'running' or job[1] == 'paused') and job[2] == stage
end

-- Adds to a number of the job. Nothing is added for 0: Lua may write it as -0, which Redis 7.0 refuses.
local function add_to(field, by)
    if by ~= 0 then
        redis.call('HINCRBY', JOB, field, by)
    end
end

-- Counts a lost attempt of a block, and of the job; `died` if it is one of a process or worker that died or fell silent. Returns
-- the number of lost attempts of the block.
local function lose_attempt(place, died)
    redis.call('HINCRBY', JOB, 'lost', 1)
    if died then
        redis.call('HINCRBY', JOB, 'recovered_attempts', 1)
    end
    return redis.call('HINCRBY', ATTEMPTS, place, 1)
end

local function has_all_receipts()
    return number('done') == number('total')
end

-- Whether a merge of the current stage was ever begun: it may have read the results of any block, and may go on though it was overtaken.
local function has_begun_merge()
    return number('fence') ~= number('stage_fence')
end

-- Takes back the receipts of the blocks of the current stage that were filled. Returns their places.
local function reopen_filled(stage)
    local places, received = {}, 0
    for _, field in ipairs(redis.call('HKEYS', FILLED)) do
        local filled_in, place = string.match(field, '^(%d+) (%d+)$')
        if filled_in == stage then
            redis.call('HDEL', FILLED, field)
            received = received + redis.call('SETBIT', RECEIPTS, place, 0)
            places[#places + 1] = place
        end
    end
    add_to('filled', -#places)
    add_to('done', -received)
    return places
end

local function holds_merge(stage, fence)
    return is_open(stage) and fence ~= '0' and redis.call('HGET', JOB, 'merge_fence') == fence
end

-- Places are passed as one text: a thousand arguments would cost the client more than the whole script.
local function parse_places(text)
    local places = {}
    for place in string.gmatch(text, '%d+') do
        places[#places + 1] = place
    end
    return places
end

-- The reply for the first place that the current stage does not have; nil if there is none. Scripts check this before they
-- write anything, because SETBIT would extend the bitmap.
local function refusal_of(places)
    local total = number('total')
    for _, place in ipairs(places) do
        if tonumber(place) >= total then
            return {-1, place, total}
        end
    end
end

-- HOLDINGS lists the places that each owner claimed, so that a renewal need not read the leases of all owners. It may list
-- places that another owner has taken over; LEASES decides.
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

-- A function that returns whether the block at one of these places has a receipt. The bytes of the bitmap from the first to
-- the last place are read with one call.
local function receipts_of(places)
    local first, last = math.huge, 0
    for _, place in ipairs(places) do
        local byte = math.floor(place / 8)
        first, last = math.min(first, byte), math.max(last, byte)
    end
    local bytes = #places > 0 and redis.call('GETRANGE', RECEIPTS, first, last) or ''
    return function(place)
        local byte = string.byte(bytes, math.floor(place / 8) - first + 1) or 0
        return bit.band(byte, bit.rshift(128, place % 8)) ~= 0 -- SETBIT counts from the highest bit
    end
end

-- The values of fields of a hash, false for a missing field; a thousand at a time, as in remove_fields.
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

-- Appends what a slot did to the job's history. Work that follows at once on earlier work of the slot is added to its entry, so
-- long as that is short: a quarter of a second, and twice as long for each 4,096 entries, which bounds their number.
-- An entry is "stage began ended compute_s read_s write_s read_bytes write_bytes slot places"; a merge has no places.
local function note_work(stage, at, document)
    local work = cjson.decode(document)
    local slot, places, seconds = work[1], work[2], tonumber(work[3])
    local sums, began = {}, at - seconds
    for n = 4, 8 do
        sums[n - 3] = tonumber(work[n])
    end
    local count = redis.call('LLEN', HISTORY)
    local longest = 0.25 * 2 ^ math.floor(count / 4096)
    local index = places ~= '' and tonumber(redis.call('HGET', SLOTS, slot) or '')
    local entry = index and redis.call('LINDEX', HISTORY, index)
    if entry then
        local before = {}
        for word in string.gmatch(entry, '%S+') do
            before[#before + 1] = word
        end
        local first, last = tonumber(before[2]), tonumber(before[3])
        if #before == 10 and before[1] == stage and first and last and began - last <= math.max(0.05, longest / 4) and last - first < longest then
            for n = 1, 5 do
                sums[n] = sums[n] + (tonumber(before[n + 3]) or 0)
            end
            began, places = first, before[10] .. ',' .. places
        else
            entry = nil
        end
    end
    local text = string.format('%s %.3f %.3f %.4g %.4g %.4g %.0f %.0f %s %s', stage, began, at, sums[1], sums[2], sums[3],
        sums[4], sums[5], slot, places)
    if entry then
        redis.call('LSET', HISTORY, index, text)
    else
        redis.call('RPUSH', HISTORY, text)
        redis.call('HSET', SLOTS, slot, count)
    end
end
