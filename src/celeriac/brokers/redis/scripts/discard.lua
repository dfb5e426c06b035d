-- Forget results.
-- KEYS: the partition's messages. ARGV: ids.
-- Returns how many there were.
-- include: head
local keys = {}
for place, id in ipairs(ARGV) do keys[place] = T .. 'r:' .. id end
return call('DEL', unpack(keys))
