-- Notes the job that does an ended one again, unless another one was noted since the caller looked. Returns the id of the job that is
-- noted, or '' if the job does not exist.
-- ARGV: the new job, the job that was noted when the caller looked ('' for none)
if redis.call('EXISTS', JOB) == 0 then
    return ''
end
local known = redis.call('HGET', JOB, 'retried_as') or ''
if known ~= ARGV[2] then
    return known
end
redis.call('HSET', JOB, 'retried_as', ARGV[1])
touch(now())
return ARGV[1]
