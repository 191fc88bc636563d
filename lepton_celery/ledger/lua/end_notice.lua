-- Notes that the notice of one end of the job was sent. Returns 1, or 0 if the job has no such notice any more.
-- ARGV: the notice
if redis.call('HGET', JOB, 'notice') ~= ARGV[1] then
    return 0
end
return redis.call('HDEL', JOB, 'notice')
