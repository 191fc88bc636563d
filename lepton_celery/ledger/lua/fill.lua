-- Records a filled block as received, and keeps the reason. Returns {1}, or {0} if the block was filled before or the stage is
-- over, or {-1, place, total} for a place that the stage does not have.
--
-- If somebody has done the block meanwhile, the caller has stored other pixels over those of the block: its receipt is taken back,
-- and {2} returned. That is too late once a merge of the stage was begun: then nothing changes, and {3} is returned.
-- ARGV: stage, place, reason
local stage, place, reason = unpack(ARGV)
if not is_open(stage) then
    return {0}
end
local refusal = refusal_of({place})
if refusal then
    return refusal
end
if redis.call('SETBIT', RECEIPTS, place, 1) == 1 then
    if redis.call('HEXISTS', FILLED, stage .. ' ' .. place) == 1 then
        return {0}
    elseif has_begun_merge() then
        return {3}
    end
    redis.call('SETBIT', RECEIPTS, place, 0)
    redis.call('HINCRBY', JOB, 'done', -1)
    redis.call('SADD', REOPENED, place)
    touch(now())
    return {2}
end
local attempts = redis.call('HGET', ATTEMPTS, place) or '0'
-- a merge may have reopened a filled block, which is listed still
local is_new = redis.call('HSET', FILLED, stage .. ' ' .. place, attempts .. ' ' .. reason)
redis.call('HINCRBY', JOB, 'filled', is_new)
redis.call('HINCRBY', JOB, 'done', 1)
redis.call('HDEL', LEASES, place)
redis.call('HDEL', ATTEMPTS, place)
local at = now()
if has_all_receipts() then
    mark(stage, 'received', at)
end
touch(at)
return {1}
