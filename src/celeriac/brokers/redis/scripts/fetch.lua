-- KEYS: the partition's messages. ARGV: ids.
-- Returns the value of each result, or nothing in its place.
-- include: head
local keys = {}
for place, id in ipairs(ARGV) do keys[place] = T .. 'r:' .. id end
return call('MGET', unpack(keys))
