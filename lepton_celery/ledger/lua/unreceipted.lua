-- The first dispatched blocks without receipt and without live lease, as a string of decimals in index order.
-- ARGV: stage, limit
--
-- The bitmap is read in chunks and whole bytes of receipts are skipped by string.find in C, so a stage of a million
-- blocks (125 kB) takes about a millisecond and no hint has to be kept true. What is left to look at one by one are
-- the gaps below the cursor, and the dispatch window bounds those.
local stage, limit = ARGV[1], tonumber(ARGV[2])
local CHUNK = 4096
if not is_current(stage) then
    return ''
end
local at = now()
local cursor = number('dispatched')
local last = math.ceil(cursor / 8) - 1
local found = {}
for offset = 0, last, CHUNK do
    local stop = math.min(offset + CHUNK - 1, last)
    local bytes = redis.call('GETRANGE', RECEIPTS, offset, stop)
    bytes = bytes .. string.rep('\0', stop - offset + 1 - #bytes) -- the bitmap ends at its last receipt
    local position = string.find(bytes, '[^\255]')
    while position do
        local byte = string.byte(bytes, position)
        for n = 0, 7 do -- SETBIT numbers from the highest bit
            local block = (offset + position - 1) * 8 + n
            if block < cursor and bit.band(byte, bit.rshift(128, n)) == 0 then
                local expiry = lease_of(block)
                if not expiry or expiry <= at then
                    if #found >= limit then
                        return table.concat(found, ' ')
                    end
                    found[#found + 1] = block
                end
            end
        end
        position = string.find(bytes, '[^\255]', position + 1)
    end
end
return table.concat(found, ' ')
