-- Take or keep a role.
-- KEYS: the partition's messages. ARGV: role, who wants it, milliseconds.
-- Returns 1 if it has it now, or 0.
-- include: head
-- include: urgent
local key = T .. 'role:' .. ARGV[1]
local holder = call('GET', key)
if holder and holder ~= ARGV[2] then return 0 end
urgent()
call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
