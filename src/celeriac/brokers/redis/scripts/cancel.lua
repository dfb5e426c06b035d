-- Cancel tasks: what waits goes, and its result is stored; what is owned is marked.
-- KEYS: the partition's messages. ARGV: `1` if this partition keeps the results, or `0`; id, expiry in milliseconds or
-- '', result of each.
-- Returns for each: '' if it was removed, `+` and the owner if it is owned (`-` if by nobody), nothing if unknown.
-- include: head
-- include: records
-- include: ready
-- include: find
-- include: results
-- include: urgent
urgent()
local found = {}
for at = 2, #ARGV, 3 do
    local id, place = ARGV[at], (at + 1) / 3
    found[place] = false
    local one = find(id)
    if one and one.owner then
        call('HSETNX', T .. 'c', id, ARGV[at + 1] .. ':' .. ARGV[at + 2])
        found[place] = one.owner
        wakes = true
    elseif one and one.state ~= 'D' then
        drop(id, one)
        found[place] = ''
        if ARGV[1] == '1' then keep_result(id, ARGV[at + 1], ARGV[at + 2]) end
    end
end
wake()
return found
