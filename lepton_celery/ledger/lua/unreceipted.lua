-- Returns the first dispatched places without a receipt or a live lease, as text, in ascending order.
-- ARGV: stage, limit, below: places from there are left out ('' for none)
--
-- With `below`, the caller took a check and sends the blocks again, which is counted. Places that were released after it was sent are left out too, because their new messages
-- are behind it. Of several checks in the lane, the first one counts.
--
-- The bitmap is read in chunks, and string.find skips full bytes in C, so a stage of a million blocks (125 kB) takes about a
-- millisecond, without a stored position to start from. Only the gaps below the cursor are checked one by one, and the
-- dispatch window bounds their number.
local stage, limit, below = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or math.huge
local CHUNK = 4096
if not is_current(stage) then
    return ''
end
local at = now()
local since = ARGV[3] ~= '' and redis.call('EXISTS', RELEASED) == 1 and number('check_since')
local cursor = math.min(number('dispatched'), number('total'), below, 2 ^ 32) -- whatever a damaged entry says
local last = math.ceil(cursor / 8) - 1
local missing = {}

local function found()
    if ARGV[3] ~= '' and #missing > 0 then
        redis.call('HINCRBY', JOB, 'resent_blocks', #missing)
    end
    return table.concat(missing, ' ')
end

for offset = 0, last, CHUNK do
    local stop = math.min(offset + CHUNK - 1, last)
    local bytes = redis.call('GETRANGE', RECEIPTS, offset, stop)
    bytes = bytes .. string.rep('\0', stop - offset + 1 - #bytes) -- the bitmap may end before the cursor
    local position = string.find(bytes, '[^\255]')
    while position do
        local byte = string.byte(bytes, position)
        for n = 0, 7 do -- SETBIT counts from the highest bit
            local place = (offset + position - 1) * 8 + n
            if place < cursor and bit.band(byte, bit.rshift(128, n)) == 0 then
                local expiry = lease_of(place)
                local released = since and tonumber(redis.call('ZSCORE', RELEASED, place) or '0')
                if (not expiry or expiry <= at) and not (since and released > since) then
                    if #missing >= limit then
                        return found()
                    end
                    missing[#missing + 1] = place
                end
            end
        end
        position = string.find(bytes, '[^\255]', position + 1)
    end
end
return found()
