-- Takes back the receipts of blocks that a merge found missing, and releases the merge. Returns {1}, or {0} for a stale
-- fence, or {-1, place, total} for a place that the stage does not have.
-- ARGV: stage, fence, places
local stage, fence, places = ARGV[1], ARGV[2], parse_places(ARGV[3])
if not holds_merge(stage, fence) then
    return {0}
end
local refusal = refusal_of(places)
if refusal then
    return refusal
end
local reopened = 0
for _, place in ipairs(places) do
    if redis.call('SETBIT', RECEIPTS, place, 0) == 1 then
        reopened = reopened + 1
        redis.call('SADD', REOPENED, place)
    end
end
add_to('done', -reopened)
redis.call('HSET', JOB, 'merge_fence', 0)
touch(now())
return {1}
