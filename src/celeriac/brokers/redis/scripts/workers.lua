-- The live workers.
-- KEYS: the partition's messages.
-- Returns the record of each, and the age of its heartbeat in microseconds, one after the other.
-- include: head
local names, found = call('ZRANGEBYSCORE', T .. 'workers', format('(%.0f', now), '+inf'), {}
for _, name in ipairs(names) do
    local record = call('HGET', T .. 'worker', name)
    if record then
        found[#found + 1] = sub(record, 17)
        found[#found + 1] = now - (tonumber(sub(record, 1, 16)) or now)
    end
end
return found
