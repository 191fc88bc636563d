-- Opens blocks whose live lease was granted at least older_s ago to a second worker, once for each block and with no
-- attempt lost: their places as a text, ascending.
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
touch(at)
return table.concat(opened, ' ')
