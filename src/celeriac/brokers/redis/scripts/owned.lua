-- Messages that some owners hold, in the order of their numbers.
-- KEYS: the partition's messages. ARGV: the number after which to begin, limit, states (R, S), `1` and a queue or `0`
-- and '' for all; name of the hash and owner ('' for nobody) of each.
-- Returns rows as get.lua does.
-- include: head
-- include: records
local after, limit, SPAN, found = tonumber(ARGV[1]), tonumber(ARGV[2]), 562949953421312, {}
for at = 6, #ARGV, 2 do
    local all = call('HGETALL', T .. ARGV[at])
    for place = 1, #all, 2 do
        local was = held(all[place + 1])
        local number = (tonumber(was.place) or 0) % SPAN
        local wanted = ARGV[4] ~= '1' or queue_of(was.header) == ARGV[5]
        if number > after and wanted and string.find(ARGV[3], was.state, 1, true) then
            found[#found + 1] = {
                number = number, id = all[place], place = was.place, record = all[place + 1], owner = ARGV[at + 1],
            }
        end
    end
end
table.sort(found, function(one, other) return one.number < other.number end)
local rows = {}
for nth = 1, math.min(limit, #found) do
    local one = found[nth]
    local owner = one.owner ~= '' and one.owner
    rows[nth] = { one.id, 'h', one.place, one.record, false, owner, call('HGET', T .. 'm', one.id) or '' }
end
return rows
