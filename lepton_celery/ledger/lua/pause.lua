-- Pauses a running job. Returns 1, also if it is paused already, or 0 if it has ended or is being published.
local state = redis.call('HGET', JOB, 'state')
if number('publishing') == 1 then
    return 0
end
if state == 'running' then
    redis.call('HSET', JOB, 'state', 'paused')
    touch(now())
    return 1
end
return state == 'paused' and 1 or 0
