-- Remember a part of a workflow that is there. KEYS: the partition's messages. ARGV: workflow, number, record.
-- Returns nothing.
-- include: head
local key = T .. 'w:' .. ARGV[1]
if call('HEXISTS', key, 'r0') == 1 and call('HSETNX', key, 'p' .. ARGV[2], ARGV[3]) == 1 then
    call('HSET', key, 'q' .. format('%.0f', call('HINCRBY', key, 'q', 1)), ARGV[2])
end
