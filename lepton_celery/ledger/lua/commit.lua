-- Records receipts. Returns {number of blocks without one}, or {-1, place, total} for a place that the stage does not have.
-- ARGV: stage, places, owner, what was done ('' or as of `note_work`), then the name and the number of each statistic
local stage, places, owner = ARGV[1], parse_places(ARGV[2]), ARGV[3]
if not is_open(stage) then
    return {0}
end
local refusal = refusal_of(places)
if refusal then
    return refusal
end

local fresh, is_first = 0, false
for _, place in ipairs(places) do
    if redis.call('SETBIT', RECEIPTS, place, 1) == 0 then
        fresh = fresh + 1
        is_first = is_first or redis.call('SISMEMBER', REOPENED, place) == 0
    end
end
remove_fields(LEASES, places)
remove_fields(ATTEMPTS, places)
if redis.call('EXISTS', KILLERS) == 1 then
    for _, place in ipairs(places) do
        redis.call('SREM', KILLERS, place)
    end
end
remove_from_holding(owner, places)
redis.call('HINCRBY', JOB, 'done', fresh)
redis.call('HDEL', JOB, 'waits_for')
if is_first then
    for i = 5, #ARGV, 2 do
        redis.call('HINCRBYFLOAT', STATS, stage .. ' ' .. ARGV[i], ARGV[i + 1])
    end
end
local at = now()
if fresh > 0 and has_all_receipts() then
    mark(stage, 'received', at)
end
if fresh > 0 and ARGV[4] ~= '' then
    pcall(note_work, stage, at, ARGV[4]) -- a damaged history costs no receipt
end
touch(at)
return {fresh}
