-- Moves the dispatch cursor. Returns {start, stop} of the places to send to the broker.
-- ARGV: stage, count
local stage, count = ARGV[1], tonumber(ARGV[2])
local start = number('dispatched')
if not is_current(stage) then
    return {start, start}
end
local stop = math.min(start + count, number('total'))
if stop <= start then
    return {start, start}
end
redis.call('HSET', JOB, 'dispatched', stop)
touch(now())
return {start, stop}
