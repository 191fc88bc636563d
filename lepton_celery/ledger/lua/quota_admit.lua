-- Counts an open job for its holders, unless one of them has as many as it may have. A job that is counted already is counted for
-- these holders instead. Returns {0, ''}, or the number of jobs of the first holder that has too many, and its name.
-- KEYS: jobs, counts
-- ARGV: job, then each holder and the largest number of its jobs (0: any number)
local JOBS, COUNTS = KEYS[1], KEYS[2]
local known = redis.call('HGET', JOBS, ARGV[1])
local before, names = {}, {}
for _, name in ipairs(known and cjson.decode(known) or {}) do
    before[name] = 1
end
for i = 2, #ARGV, 2 do
    local name, most = ARGV[i], tonumber(ARGV[i + 1])
    local count = tonumber(redis.call('HGET', COUNTS, name) or '0') - (before[name] or 0)
    if most > 0 and count >= most then
        return {count, name}
    end
    names[#names + 1] = name
end
for name in pairs(before) do
    if redis.call('HINCRBY', COUNTS, name, -1) <= 0 then
        redis.call('HDEL', COUNTS, name)
    end
end
for _, name in ipairs(names) do
    redis.call('HINCRBY', COUNTS, name, 1)
end
redis.call('HSET', JOBS, ARGV[1], cjson.encode(names))
return {0, ''}
