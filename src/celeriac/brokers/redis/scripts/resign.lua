-- Give a role up.
-- KEYS: the partition's messages. ARGV: role, who had it.
-- Returns nothing.
-- include: head
local key = T .. 'role:' .. ARGV[1]
if call('GET', key) == ARGV[2] then call('DEL', key) end
