-- Stops a running job from starting anything: 1, or 0 when it is not running (1 again for one that is paused already).
local state = redis.call('HGET', JOB, 'state')
if state == 'running' then
    redis.call('HSET', JOB, 'state', 'paused')
    touch(now())
    return 1
end
return state == 'paused' and 1 or 0
