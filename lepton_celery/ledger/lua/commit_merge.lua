-- Ends the stage: 1, or 0 for a stale fence, or -1 when there is no next stage to open.
-- ARGV: stage, fence, call, blocks of the next stage ('' when the job is done), result ('' for none), its number ('' for
-- the one after this)
local stage, fence, call, next_blocks, result, next_stage = unpack(ARGV)
if redis.call('HGET', JOB, 'merged_by') == call then
    return 1 -- the client's connection broke and it sent the same call again
end
if not holds_merge(stage, fence) or not has_all_receipts() then
    return 0
end
local at = now()
if next_blocks ~= '' then
    if next_stage == '' then
        next_stage = tonumber(stage) + 1
        if next_stage >= number('stages') then
            return -1
        end
    end
    mark(next_stage, 'began', at)
    redis.call('HSET', JOB, 'stage', next_stage, 'total', next_blocks, 'done', 0, 'dispatched', 0, 'merge_attempts', 0)
else
    redis.call('HSET', JOB, 'state', 'done', 'finished', stamp(at))
    if result ~= '' then
        redis.call('SET', RESULT, result)
    end
end
mark(stage, 'ended', at)
redis.call('DEL', RECEIPTS, LEASES, HOLDINGS, ATTEMPTS, REOPENED, REASONS, DOUBLED)
redis.call('HSET', JOB, 'merge_fence', 0, 'merged_by', call)
touch(at)
if next_blocks == '' then
    announce_end()
end
return 1
