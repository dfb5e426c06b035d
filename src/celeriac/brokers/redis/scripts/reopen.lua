-- Empty slots in which failures lie, and open what these had closed.
-- KEYS: the partition's messages. ARGV: workflow; how many slots, join and slot of each; runs of messages to keep, as
-- parts/add.lua reads them.
-- Returns how many were emptied.
-- include: head
-- include: numbers
-- include: records
-- include: ready
-- include: add
local key, count, runs, from = T .. 'w:' .. ARGV[1], 0, {}, 3 + 2 * tonumber(ARGV[2])
while from <= #ARGV do
    runs[#runs + 1] = from
    from = from + 4 + 2 * tonumber(ARGV[from + 3])
end
if #runs > 0 then add(runs) end
for at = 3, 2 + 2 * tonumber(ARGV[2]), 2 do
    local join, slot = ARGV[at], ARGV[at + 1]
    local value = call('HGET', key, 's' .. join .. ':' .. slot)
    if value and sub(value, 1, 1) == '1' then
        count = count + 1
        call('HDEL', key, 's' .. join .. ':' .. slot, 'x' .. join .. ':' .. slot)
        call('HINCRBY', key, 'r' .. join, 1)
        local size, first = tonumber(call('HGET', key, 'z' .. join)), nil
        for one = 0, size - 1 do
            local other = call('HGET', key, format('s%s:%.0f', join, one))
            if other and sub(other, 1, 1) == '1' then
                first = one
                break
            end
        end
        if first then
            call('HSET', key, 'f' .. join, first)
        else
            call('HDEL', key, 'f' .. join)
        end
        if join == '0' or not first then
            call('HDEL', key, 'c' .. join)
            call('HINCRBY', key, 'g' .. join, 1)
        end
        if join == '0' then
            call('HDEL', key, 'ended')
            call('ZREM', T .. 'wover', ARGV[1])
        end
    end
end
wake()
return count
