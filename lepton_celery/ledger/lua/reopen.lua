-- Takes receipts back and ends the merge that found the blocks missing: 1, or 0 for a stale fence, or
-- {-1, block, total} for a block that the stage does not have.
-- ARGV: stage, fence, blocks
local stage, fence, blocks = ARGV[1], ARGV[2], numbers(ARGV[3])
if not holds_merge(stage, fence) then
    return 0
end
local refusal = beyond(blocks)
if refusal then
    return refusal
end
local taken = 0
for _, block in ipairs(blocks) do
    if redis.call('SETBIT', RECEIPTS, block, 0) == 1 then
        taken = taken + 1
        redis.call('SADD', REOPENED, block)
    end
end
redis.call('HINCRBY', JOB, 'done', -taken)
redis.call('HSET', JOB, 'merge_fence', 0)
touch(now())
return 1
