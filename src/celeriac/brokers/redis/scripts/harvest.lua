-- What lies in a join. KEYS: the partition's messages. ARGV: workflow, join, after this slot, at most so many, up to
-- this slot.
-- Returns nothing if it is not there; else its size, the slot of the first failure or -1, and a list of slot, `1` or `0`
-- and result, message or ''.
-- include: head
local key, join, limit = T .. 'w:' .. ARGV[1], ARGV[2], tonumber(ARGV[4])
local size = call('HMGET', key, 'z' .. join, 'f' .. join)
if not size[1] then return false end
local found, slot, last = {}, tonumber(ARGV[3]) + 1, math.min(tonumber(size[1]) - 1, tonumber(ARGV[5]))
while slot <= last and #found < 3 * limit do
    local to, fields = math.min(last, slot + 499), {}
    for one = slot, to do fields[#fields + 1] = format('s%s:%.0f', join, one) end
    for nth, value in ipairs(call('HMGET', key, unpack(fields))) do
        if value and #found < 3 * limit then
            local place = format('%.0f', slot + nth - 1)
            local message = sub(value, 1, 1) == '1' and call('HGET', key, 'x' .. join .. ':' .. place) or ''
            for _, part in ipairs({ place, value, message or '' }) do found[#found + 1] = part end
        end
    end
    slot = to + 1
end
return { tonumber(size[1]), tonumber(size[2] or -1), found }
