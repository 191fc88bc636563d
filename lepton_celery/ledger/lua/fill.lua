-- Records a filled block as received, and keeps the reason. Returns {1}, or {0} if the block has a receipt or the stage is
-- over, or {-1, place, total} for a place that the stage does not have.
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
    return {0}
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
