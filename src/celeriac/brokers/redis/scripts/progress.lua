-- Keep interim results, except of tasks that are over.
-- KEYS: the partition's messages. ARGV: id, expiry in milliseconds since the epoch or '', value, of each.
-- Returns the ids of the tasks that are over.
-- include: head
-- include: results
-- include: urgent
urgent() -- With track_started no task could begin on a full server, and so make room.
local over = {}
for at = 1, #ARGV, 3 do
    local id = ARGV[at]
    if call('GETRANGE', T .. 'r:' .. id, 0, 0) == '1' then
        over[#over + 1] = id
    else
        keep_result(id, ARGV[at + 1], ARGV[at + 2])
    end
end
return over
