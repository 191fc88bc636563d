-- Notes that the message which looks for lost work was taken. Returns 1, or 0 if the job has ended or left the stage.
-- ARGV: stage
if not is_current(ARGV[1]) then
    return 0
end
if redis.call('HGET', JOB, 'check_stage') == ARGV[1] then
    redis.call('HSET', JOB, 'check_wait', 0)
end
return 1
