-- Leases for as many of the blocks as may be worked on: {1, granted, leased, done, exhausted, lost}, or {0} when the
-- stage is not at work, or {-1, block, total} for a block that the stage does not have.
-- ARGV: stage, blocks, owner, lease_s, max_attempts, call
local stage, blocks, owner, lease_s, max_attempts, call =
    ARGV[1], numbers(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if not is_current(stage) or has_all_receipts() then
    return {0}
end
local refusal = beyond(blocks)
if refusal then
    return refusal
end

local at = now()
local granted, leased, done, exhausted = {}, {}, {}, {}
local held, lost_before = {}, {}
for _, block in ipairs(blocks) do
    if redis.call('GETBIT', RECEIPTS, block) == 1 then
        done[#done + 1] = block
    else
        local expiry, last_call, holder = lease_of(block)
        if expiry and expiry > at and holder ~= owner then
            leased[#leased + 1] = block
        else
            local lost
            if expiry and last_call ~= call then
                lost = redis.call('HINCRBY', ATTEMPTS, block, 1)
            else
                -- Never leased, given back, or this very call sent again after its connection broke: nothing was lost.
                lost = tonumber(redis.call('HGET', ATTEMPTS, block) or '0')
            end
            if lost >= max_attempts then
                redis.call('HDEL', LEASES, block)
                exhausted[#exhausted + 1] = block
            else
                set_lease(block, at + lease_s, call, owner, at)
                granted[#granted + 1] = block
                if lost > 0 then
                    lost_before[#lost_before + 1] = block .. ' ' .. lost
                end
                if holder ~= owner then
                    held[#held + 1] = block
                end
            end
        end
    end
end
if #held > 0 then
    local before = redis.call('HGET', HOLDINGS, owner)
    local added = table.concat(held, ' ')
    redis.call('HSET', HOLDINGS, owner, before and before .. ' ' .. added or added)
end
touch(at)
return {1, table.concat(granted, ' '), table.concat(leased, ' '), table.concat(done, ' '), table.concat(exhausted, ' '),
    table.concat(lost_before, ' ')}
