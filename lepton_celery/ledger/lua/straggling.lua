-- Takes live leases that were granted so long ago from their owners, once for each block and with no attempt lost, so that
-- others can do the blocks too: as a string of decimals in index order.
-- ARGV: stage, older_s, limit
local stage, older_s, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not is_current(stage) then
    return ''
end
local at = now()
local slow = {}
for _, block in ipairs(redis.call('HKEYS', LEASES)) do
    local expiry, _, _, since = lease_of(block)
    if expiry > at and at - since >= older_s and redis.call('SISMEMBER', DOUBLED, block) == 0 then
        slow[#slow + 1] = tonumber(block)
    end
end
if #slow == 0 then
    return ''
end
table.sort(slow)
local taken = {}
for n = 1, math.min(#slow, limit) do
    local block = string.format('%d', slow[n])
    redis.call('HDEL', LEASES, block)
    redis.call('SADD', DOUBLED, block)
    taken[n] = block
end
touch(at)
return table.concat(taken, ' ')
