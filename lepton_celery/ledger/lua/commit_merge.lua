-- Ends the stage, and opens the following one or ends the job. Returns 1, or 2 if a notice of its end is to be sent, or 0
-- for a stale fence.
-- ARGV: stage, fence, following stage and its number of blocks ('' and '' if the job is done), result ('' for none),
-- what was done ('' or as of `note_work`), call
local stage, fence, following, blocks, result, work, call = unpack(ARGV)
if redis.call('HGET', JOB, 'merged_by') == call then
    return ended() -- a retry of the same call, whose connection broke
end
if not holds_merge(stage, fence) or not has_all_receipts() then
    return 0
end
local at = now()
redis.call('HSET', JOB, 'merge_fence', 0, 'merged_by', call)
redis.call('DEL', RECEIPTS, LEASES, HOLDINGS, ATTEMPTS, REOPENED, REASONS, DUPLICATED, KILLERS, RELEASED)
mark(stage, 'ended', at)
if work ~= '' then
    pcall(note_work, stage, at, work) -- a damaged history holds up no stage
end
touch(at)
if following ~= '' then
    mark(following, 'began', at)
    redis.call('HSET', JOB, 'stage', following, 'total', blocks, 'done', 0, 'dispatched', 0, 'merge_attempts', 0,
        'stage_fence', fence)
    return 1
end
redis.call('HSET', JOB, 'state', 'done', 'finished', stamp(at))
if result ~= '' then
    redis.call('SET', RESULT, result)
end
redis.call('DEL', SLOTS)
if number('filled') == 0 then
    redis.call('DEL', TRACEBACKS)
end
owe_notice('done', stamp(at))
announce_end()
return ended()
