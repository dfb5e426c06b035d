-- Keep a workflow, or a part of one.
-- KEYS: the partition's messages. ARGV: id, size of the root, for how many milliseconds it is kept once over or '', record;
-- then of each join: number, size, place of its first message here, count, and the entries of these (see parts/joins.lua).
-- Returns nothing.
-- include: head
-- include: numbers
local key, fields = T .. 'w:' .. ARGV[1], {}
if call('HSETNX', key, 'r0', ARGV[2]) == 1 then
    call('HSET', key, 'z0', ARGV[2], 'keep', ARGV[3], 'record', ARGV[4], 'created', format('%.0f', now))
    call('ZADD', T .. 'workflows', format('%.0f', numbers(1)), ARGV[1])
end
local at = 5
while at <= #ARGV do
    local join, first, count = ARGV[at], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    if call('HSETNX', key, 'r' .. join, ARGV[at + 1]) == 1 then call('HSET', key, 'z' .. join, ARGV[at + 1]) end
    local many = tonumber(call('HGET', key, 'k' .. join) or 0)
    if first + count > many then call('HSET', key, 'k' .. join, first + count) end
    for nth = 1, count do
        fields[#fields + 1] = 'm' .. join .. ':' .. format('%.0f', first + nth - 1)
        fields[#fields + 1] = ARGV[at + 3 + nth]
    end
    at = at + 4 + count
end
each('HSET', key, fields)
