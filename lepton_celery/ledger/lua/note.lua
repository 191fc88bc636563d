-- Notes what a running job waits for, until its next receipt. Returns 1, or 0 if the job has ended or left the stage.
-- ARGV: stage, reason
if not is_current(ARGV[1]) then
    return 0
end
redis.call('HSET', JOB, 'waits_for', ARGV[2])
return 1
