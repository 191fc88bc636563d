-- Notes that a worker serves lanes, and returns the notes that are valid. As for leases, the entry `@clock` has the latest time of
-- the server's clock at which a note was made: if the clock was set back, all notes are moved back with it.
-- KEYS: a sorted set of `lane worker`, each with the time until which it is valid.
-- ARGV: for_s, then the entries to note; none only reads
local time = redis.call('TIME')
local at = time[1] + time[2] / 1e6
local back = tonumber(redis.call('ZSCORE', KEYS[1], '@clock') or at) - at
if back > 0.001 then -- the times are rounded
    for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
        redis.call('ZINCRBY', KEYS[1], string.format('%.6f', -back), entry)
    end
end
if #ARGV > 1 then
    for n = 2, #ARGV do
        redis.call('ZADD', KEYS[1], string.format('%.6f', at + ARGV[1]), ARGV[n])
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', at))
    redis.call('ZADD', KEYS[1], string.format('%.6f', at), '@clock')
end
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', at), '+inf')
