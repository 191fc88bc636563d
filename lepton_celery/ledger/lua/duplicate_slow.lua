-- Removes live leases that were granted at least older_s seconds ago, once for each block, with no attempt lost, so that a
-- second worker can claim the blocks. Returns the places as text, in ascending order.
-- ARGV: stage, older_s, limit
local stage, older_s, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not is_current(stage) then
    return ''
end
local at = now()
local slow = {}
for _, place in ipairs(redis.call('HKEYS', LEASES)) do
    local expiry, _, _, since = lease_of(place)
    if expiry > at and at - since >= older_s and redis.call('SISMEMBER', DUPLICATED, place) == 0 then
        slow[#slow + 1] = tonumber(place)
    end
end
if #slow == 0 then
    return ''
end
table.sort(slow)
local opened = {}
for n = 1, math.min(#slow, limit) do
    local place = string.format('%d', slow[n])
    redis.call('HDEL', LEASES, place)
    redis.call('SADD', DUPLICATED, place)
    opened[n] = place
end
redis.call('HINCRBY', JOB, 'doubled_blocks', #opened)
touch(at)
return table.concat(opened, ' ')
