-- Notes that a worker serves lanes, and returns the notes that are valid. As for leases, the entry `@clock` has the latest time of
-- the server's clock at which a note was made: if the clock was set back, all notes are moved back with it.
-- KEYS: a sorted set of `lane slots fewest most release worker`, each with the time until which it is valid.
-- ARGV: for_s, then the entries to note, of one worker; none only reads
local time = redis.call('TIME')
local at = time[1] + time[2] / 1e6
local back = tonumber(redis.call('ZSCORE', KEYS[1], '@clock') or at) - at
if back > 0.001 then -- the times are rounded
    for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
        redis.call('ZINCRBY', KEYS[1], string.format('%.6f', -back), entry)
    end
end
if #ARGV > 1 then
    local noted, added = {}, 0
    for n = 2, #ARGV do
        added = added + redis.call('ZADD', KEYS[1], string.format('%.6f', at + ARGV[1]), ARGV[n])
        noted[ARGV[n]] = true
    end
    if added > 0 then -- the worker has changed: what it noted before is not valid any more
        local name = string.match(ARGV[2], '^%S+ %S+ %S+ %S+ %S+ (.*)$')
        for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
            if not noted[entry] and string.match(entry, '^%S+ %S+ %S+ %S+ %S+ (.*)$') == name then
                redis.call('ZREM', KEYS[1], entry)
            end
        end
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', at))
    redis.call('ZADD', KEYS[1], string.format('%.6f', at), '@clock')
end
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', at), '+inf')
