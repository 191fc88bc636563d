-- Receipts for the blocks: {how many were new}, or {-1, block, total} for a block that the stage does not have.
-- ARGV: stage, blocks, owner, then a name and a number for each statistic
local stage, blocks, owner = ARGV[1], numbers(ARGV[2]), ARGV[3]
if not is_open(stage) then
    return {0}
end
local refusal = beyond(blocks)
if refusal then
    return refusal
end

local fresh, is_first = 0, false
for _, block in ipairs(blocks) do
    if redis.call('SETBIT', RECEIPTS, block, 1) == 0 then
        fresh = fresh + 1
        is_first = is_first or redis.call('SISMEMBER', REOPENED, block) == 0
    end
end
drop_fields(LEASES, blocks)
drop_fields(ATTEMPTS, blocks)
let_go(owner, blocks)
redis.call('HINCRBY', JOB, 'done', fresh)
if is_first then
    for i = 4, #ARGV, 2 do
        redis.call('HINCRBYFLOAT', STATS, stage .. ' ' .. ARGV[i], ARGV[i + 1])
    end
end
local at = now()
if fresh > 0 and has_all_receipts() then
    mark(stage, 'received', at)
end
touch(at)
return {fresh}
