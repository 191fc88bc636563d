-- Counts a block as done that cannot be done, and keeps why: {1}, or {0} when it has its receipt or the stage is over,
-- or {-1, block, total} for a block that the stage does not have.
-- ARGV: stage, block, reason
local stage, block, reason = unpack(ARGV)
if not is_open(stage) then
    return {0}
end
local refusal = beyond({block})
if refusal then
    return refusal
end
if redis.call('SETBIT', RECEIPTS, block, 1) == 1 then
    return {0}
end
local attempts = redis.call('HGET', ATTEMPTS, block) or '0'
redis.call('HSET', HOLES, stage .. ' ' .. block, attempts .. ' ' .. reason)
redis.call('HINCRBY', JOB, 'holes', 1)
redis.call('HINCRBY', JOB, 'done', 1)
drop_fields(LEASES, {block})
drop_fields(ATTEMPTS, {block})
local at = now()
if has_all_receipts() then
    mark(stage, 'received', at)
end
touch(at)
return {1}
