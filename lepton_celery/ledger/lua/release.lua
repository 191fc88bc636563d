-- Gives the owner's leases on the blocks back; with count, each counts as a lost attempt.
-- ARGV: stage, blocks, owner, count (1 or 0)
local stage, blocks, owner, count = ARGV[1], numbers(ARGV[2]), ARGV[3], ARGV[4] == '1'
if not is_current(stage) then
    return 0
end
for _, block in ipairs(blocks) do
    local expiry, _, holder = lease_of(block)
    if expiry and holder == owner then
        redis.call('HDEL', LEASES, block)
        if count then
            redis.call('HINCRBY', ATTEMPTS, block, 1)
        end
    end
end
let_go(owner, blocks)
return 1
