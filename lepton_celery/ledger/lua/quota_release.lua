-- Counts jobs no more that have ended. Returns the number of those that were counted.
-- KEYS: jobs, counts
-- ARGV: the jobs
local JOBS, COUNTS = KEYS[1], KEYS[2]
local released = 0
for _, job in ipairs(ARGV) do
    local known = redis.call('HGET', JOBS, job)
    for _, name in ipairs(known and cjson.decode(known) or {}) do
        if redis.call('HINCRBY', COUNTS, name, -1) <= 0 then
            redis.call('HDEL', COUNTS, name)
        end
    end
    released = released + redis.call('HDEL', JOBS, job)
end
return released
