-- Notes the span that the trace of a job continues. Returns 1, or 0 if there is no such job.
-- ARGV: trace
if redis.call('EXISTS', JOB) == 0 then
    return 0
end
redis.call('HSET', JOB, 'trace', ARGV[1])
return 1
