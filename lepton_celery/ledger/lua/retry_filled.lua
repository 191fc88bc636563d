-- Gives the blocks of the open stage that were given up and filled back to the work to do; their attempts are counted anew. Returns
-- {1, places as text}, or {0, why not}: `ended`, `none` (no block of the stage was filled), `merging` (a merge of the stage was begun)
-- or `publishing`.
-- ARGV: call
local call = ARGV[1]
local job = redis.call('HMGET', JOB, 'state', 'stage', 'retried_by', 'publishing')
if job[3] == call then
    return {1, ''} -- a retry of the same call, whose connection broke: the places are those without a receipt
elseif job[1] ~= 'running' and job[1] ~= 'paused' then
    return {0, 'ended'}
elseif job[4] == '1' then
    return {0, 'publishing'}
end
local has_filled = false
for _, field in ipairs(redis.call('HKEYS', FILLED)) do
    has_filled = has_filled or string.match(field, '^%d+') == job[2]
end
if not has_filled then
    return {0, 'none'}
elseif has_begun_merge() then
    return {0, 'merging'}
end
local places = reopen_filled(job[2])
remove_fields(LEASES, places)
remove_fields(ATTEMPTS, places)
remove_fields(REASONS, places)
for _, place in ipairs(places) do
    redis.call('SREM', KILLERS, place)
    redis.call('SREM', DUPLICATED, place)
end
redis.call('HSET', JOB, 'retried_by', call)
touch(now())
return {1, table.concat(places, ' ')}
