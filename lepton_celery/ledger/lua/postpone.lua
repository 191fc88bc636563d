-- Notes that a message of the job is tried again after some seconds, so that its blocks are not looked for before. Returns 1, or 0
-- if the job has ended or left the stage.
-- ARGV: stage, seconds
if not is_current(ARGV[1]) then
    return 0
end
redis.call('HSET', JOB, 'retry_at', stamp(math.max(number('retry_at'), now() + tonumber(ARGV[2]))))
return 1
