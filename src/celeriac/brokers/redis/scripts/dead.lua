-- KEYS: the partition's messages. ARGV: ids.
-- Returns those that are dead letters here.
-- include: head
local found = {}
for _, id in ipairs(ARGV) do
    if call('ZSCORE', T .. 'dead', id) then found[#found + 1] = id end
end
return found
