-- What is known of some messages.
-- KEYS: the partition's messages. ARGV: ids.
-- Returns for each that is there: id, kind, place, details, due, owner, value; operations/records.py reads them.
-- include: head
-- include: records
-- include: find
local found = {}
for _, id in ipairs(ARGV) do
    local one = find(id)
    if one then
        local owner = false
        if one.owner and sub(one.owner, 1, 1) == '+' then owner = sub(one.owner, 2) end
        found[#found + 1] = { id, one.kind, one.place, one.record or false, one.due or false, owner, one.value }
    end
end
return found
