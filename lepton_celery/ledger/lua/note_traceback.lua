-- Keeps where the error of a block was raised, of the first blocks that fail. Returns 1, or 0 if it is not kept.
-- ARGV: stage, place, traceback, largest number of blocks
local stage, place, text, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local field = stage .. ' ' .. place
if not is_open(stage) or redis.call('HLEN', TRACEBACKS) >= most and redis.call('HEXISTS', TRACEBACKS, field) == 0 then
    return 0
end
redis.call('HSET', TRACEBACKS, field, text)
return 1
