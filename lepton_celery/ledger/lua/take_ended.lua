-- Takes entries of a sorted set whose scores are at most a time, and moves them to a later time, so that no other caller takes them
-- before. Returns them, the oldest first. KEYS: the set.
-- ARGV: latest, count, later
local taken = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, entry in ipairs(taken) do
    redis.call('ZADD', KEYS[1], ARGV[3], entry)
end
return taken
