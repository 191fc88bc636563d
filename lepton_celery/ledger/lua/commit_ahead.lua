-- Receipts for blocks of the next stage, which count when it opens: how many were new.
-- ARGV: stage, blocks, then a name and a number for each statistic
local stage, blocks = ARGV[1], numbers(ARGV[2])
if not is_open(stage) then
    return 0
end
local fresh = 0
for _, block in ipairs(blocks) do
    if redis.call('SETBIT', AHEAD, block, 1) == 0 then
        fresh = fresh + 1
    end
end
if fresh > 0 then
    for i = 3, #ARGV, 2 do
        redis.call('HINCRBYFLOAT', STATS, string.format('%d', stage + 1) .. ' ' .. ARGV[i], ARGV[i + 1])
    end
end
touch(now())
return fresh
