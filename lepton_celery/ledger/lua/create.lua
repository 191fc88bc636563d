-- Creates a job with an open stage. Returns 1, or 0 if the id is taken.
-- ARGV: lane, title, owner, job that this one does again ('' for none), stages, blocks, manifest, stage, version, state, predicted
-- seconds of the stages, rank, tenant, 1 to note its end as one that is to be told, what its trace continues (each '' for none), call
local lane, title, owner, retry_of, stages, blocks, manifest, stage, version, state, predicted, rank, tenant, notifies, trace, call =
    unpack(ARGV)
local created_by = redis.call('HGET', JOB, 'created_by')
if created_by then
    return created_by == call and 1 or 0 -- a retry of the same call, whose connection broke
end
local at = stamp(now())
redis.call('SET', MANIFEST, manifest)
redis.call('HSET', JOB, 'state', state, 'lane', lane, 'title', title, 'stage', stage, 'stages', stages,
    'total', blocks, 'done', 0, 'dispatched', 0, 'fence', 0, 'merge_fence', 0, 'created', at, 'updated', at,
    'created_by', call, 'version', version, 'filled', 0, 'predicted', predicted)
local given = {owner = owner, retry_of = retry_of, rank = rank, tenant = tenant, notifies = notifies, trace = trace}
for name, text in pairs(given) do
    if text ~= '' then
        redis.call('HSET', JOB, name, text)
    end
end
if state == 'running' then
    redis.call('HSET', STATS, stage .. ' @began', at)
end
return 1
