-- Notes that a message goes through the job's lane to look for lost work. Returns the dispatch cursor, up to which blocks were
-- sent before that message, or false if none is to be sent now.
-- ARGV: stage, quiet_s, busy_s, longest_s
--
-- While nothing has happened to the job for quiet_s seconds, a message is due after quiet_s seconds, otherwise after busy_s. A
-- message that has not been taken is followed by others after two, four, eight times as long, up to longest_s: it may be lost,
-- but the lane may also be long.
local stage, quiet_s, busy_s, longest_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not is_current(stage) then
    return false
end
local at = now()
local left = number('total') - number('done')
if left > 0 and redis.call('HLEN', LEASES) >= left then
    return false -- each block that is left is being worked on
end
if left == 0 and number('merge_fence') ~= 0 and number('merge_until') > at then
    return false -- the merge is being worked on
end
if number('retry_at') > at and number('retry_at') - at <= longest_s then
    return false -- blocks wait for their next try
end
local is_quiet = at - number('updated') >= quiet_s
local check = redis.call('HMGET', JOB, 'check_stage', 'check_at', 'check_wait')
local sent, wait = tonumber(check[2] or '0'), tonumber(check[3] or '0')
if check[1] ~= stage then
    if not is_quiet then
        redis.call('HSET', JOB, 'check_stage', stage, 'check_at', stamp(at), 'check_wait', 0)
        return false
    end
    sent, wait = 0, 0
end
local pause = is_quiet and quiet_s or busy_s
if at >= sent and at - sent < (wait > 0 and wait or pause) then -- a server's clock may have been set back
    return false
end
if wait == 0 then -- no other check is in the lane
    redis.call('HSET', JOB, 'check_since', stamp(at))
    redis.call('ZREMRANGEBYSCORE', RELEASED, '-inf', stamp(at))
end
wait = math.min(2 * (wait > 0 and wait or pause), longest_s)
redis.call('HSET', JOB, 'check_stage', stage, 'check_at', stamp(at), 'check_wait', stamp(wait))
return number('dispatched')
