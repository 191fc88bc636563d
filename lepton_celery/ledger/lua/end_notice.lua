-- Sends the notice of one end of the job, or notes that it was sent. Returns 1, or 0 if the job has no such notice any more.
-- ARGV: the notice; of each command that sends it the number of its words, and its words
if redis.call('HGET', JOB, 'notice') ~= ARGV[1] then
    return 0
end
local first = 2
while ARGV[first] do
    local last = first + tonumber(ARGV[first])
    redis.call(unpack(ARGV, first + 1, last))
    first = last + 1
end
return redis.call('HDEL', JOB, 'notice')
