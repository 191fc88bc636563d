-- What is left of the open stage of a job, and who works on it. Returns
-- {lane, state, blocks without a receipt, blocks in hand, seconds that these were worked on in all,
--  seconds since the stage began, whether a merge is due that nobody has begun (0 or 1), the owners of these blocks or of the
--  merge, the stage, number of stages}, or false if the job does not exist. Nothing is written.
--
-- An owner is "blocks since owner": how many it has, since when. That of the merge is "0 0 owner".
local job = redis.call('HMGET', JOB, 'lane', 'state', 'stage', 'total', 'done', 'merge_fence', 'merge_until', 'created',
    'merge_owner', 'stages')
if not job[1] then
    return false
end
local time = redis.call('TIME')
local at = time[1] + time[2] / 1e6
local left = math.max(0, (tonumber(job[4]) or 0) - (tonumber(job[5]) or 0))
local began = redis.call('HGET', STATS, job[3] .. ' @began')
local held, owners, worked_s = 0, {}, 0
local holdings = redis.call('HGETALL', HOLDINGS)
for i = 1, #holdings, 2 do
    -- places of a dead owner stay in its holding when they are reclaimed, so that LEASES decides; one is looked at, as all
    -- places of a batch are granted and renewed together
    local places = parse_places(holdings[i + 1])
    local expiry, _, holder, since = lease_of(places[1] or '')
    if expiry and expiry > at and holder == holdings[i] then
        held, worked_s = held + #places, worked_s + math.max(0, at - since)
        owners[#owners + 1] = string.format('%d %.6f %s', #places, since, holder)
    end
end
local merge_waits = 0
if job[6] ~= '0' and (tonumber(job[7]) or 0) > at then
    owners[#owners + 1] = '0 0 ' .. (job[9] or '')
elseif job[2] == 'running' and left == 0 then
    merge_waits = 1
end
local since = at - (tonumber(began) or tonumber(job[8]) or at)
return {job[1], job[2], left, held, string.format('%.6f', worked_s), string.format('%.6f', math.max(0, since)), merge_waits,
    owners, job[3], job[10]}
