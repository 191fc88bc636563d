-- Moves the dispatch cursor: {start, stop} of the places to hand to the broker.
-- ARGV: stage, count, window
local stage, count, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local start = number('dispatched')
if not is_current(stage) then
    return {start, start}
end
local stop = math.min(start + count, number('total'), number('done') + window)
if stop <= start then
    return {start, start}
end
redis.call('HSET', JOB, 'dispatched', stop)
touch(now())
return {start, stop}
