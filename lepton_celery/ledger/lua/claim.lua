-- Leases blocks to an owner. Returns {1, granted, leased, done, exhausted, lost}, or {0} if the stage accepts no work, or
-- {-1, place, total} for a place that the stage does not have.
-- ARGV: stage, places, owner, lease_s, max_attempts, call
local stage, places, owner, lease_s, max_attempts, call =
    ARGV[1], parse_places(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if not is_current(stage) or has_all_receipts() then
    return {0}
end
local refusal = refusal_of(places)
if refusal then
    return refusal
end

local at = now()
local granted, leased, done, exhausted = {}, {}, {}, {}
local newly_held, lost_before, leases = {}, {}, {}
local lease = format_lease(at + lease_s, call, owner, at)
-- read together, because a call for each of a thousand blocks takes five times as long
local known, attempts, has_receipt = get_fields(LEASES, places), get_fields(ATTEMPTS, places), receipts_of(places)
for n, place in ipairs(places) do
    if has_receipt(place) then
        done[#done + 1] = place
    else
        local expiry, last_call, holder = parse_lease(known[n])
        if expiry and expiry > at and holder ~= owner then
            leased[#leased + 1] = place
        else
            -- an attempt is lost unless the block has no lease, or has it from an earlier try of this same call
            local lost = tonumber(attempts[n] or '0')
            if expiry and last_call ~= call then
                lost = lose_attempt(place, true)
            end
            if lost >= max_attempts then
                redis.call('HDEL', LEASES, place)
                exhausted[#exhausted + 1] = place
            else
                leases[#leases + 1] = place
                leases[#leases + 1] = lease
                granted[#granted + 1] = place
                if lost > 0 then
                    lost_before[#lost_before + 1] = place .. ' ' .. lost
                end
                if holder ~= owner then
                    newly_held[#newly_held + 1] = place
                end
            end
        end
    end
end
for first = 1, #leases, 1000 do
    redis.call('HSET', LEASES, unpack(leases, first, math.min(first + 999, #leases)))
end
if #newly_held > 0 then
    local before = redis.call('HGET', HOLDINGS, owner)
    local added = table.concat(newly_held, ' ')
    redis.call('HSET', HOLDINGS, owner, before and before .. ' ' .. added or added)
end
touch(at)
return {1, table.concat(granted, ' '), table.concat(leased, ' '), table.concat(done, ' '), table.concat(exhausted, ' '),
    table.concat(lost_before, ' ')}
