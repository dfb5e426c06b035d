-- Record that runs began.
-- KEYS: the partition's messages. ARGV: owner, id, token, `1` if it is at-most-once, for each run.
-- Returns the places (from 0) of those whose lease does not hold.
-- include: head
-- include: records
-- include: urgent
urgent()
local lost = {}
for at = 1, #ARGV, 4 do
    local key, id = T .. 'o:' .. ARGV[at], ARGV[at + 1]
    local record = call('HGET', key, id)
    if record and sub(record, 1, 16) == ARGV[at + 2] then
        local was = held(record)
        local once = (was.once == '1' or ARGV[at + 3] == '1') and '1' or '0'
        local changed = was.state == 'S' and was.changed or NOW
        call('HSET', key, id, held_record(
            was.token, was.place, 'S', once, was.suspect, was.crashes, changed, was.header, was.reason
        ))
    else
        lost[#lost + 1] = (at - 1) / 4
    end
end
return lost
