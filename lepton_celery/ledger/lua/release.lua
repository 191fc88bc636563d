-- Gives the owner's leases on the blocks back; with count, each counts as a lost attempt, for a reason.
-- ARGV: stage, blocks, owner, count (1 or 0), reason ('' for none)
local stage, blocks, owner, count, reason = ARGV[1], numbers(ARGV[2]), ARGV[3], ARGV[4] == '1', ARGV[5]
if not is_open(stage) then
    return 0
end
for _, block in ipairs(blocks) do
    local expiry, _, holder = lease_of(block)
    if expiry and holder == owner then
        redis.call('HDEL', LEASES, block)
        if count then
            redis.call('HINCRBY', ATTEMPTS, block, 1)
            if reason ~= '' then
                redis.call('HSET', REASONS, block, reason)
            end
        end
    end
end
let_go(owner, blocks)
return 1
