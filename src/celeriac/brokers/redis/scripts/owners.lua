-- Who holds messages, and how many?
-- KEYS: the partition's messages.
-- Returns name of the hash (without what all keys begin with), owner or nothing, count, one after the other.
-- include: head
local found = {}
local function look(name, owner)
    local count = call('HLEN', T .. name)
    if count > 0 then
        found[#found + 1], found[#found + 2], found[#found + 3] = name, owner, count
    end
end
for _, owner in ipairs(call('ZRANGE', T .. 'leases', 0, -1)) do look('o:' .. owner, owner) end
for _, pool in ipairs(call('SMEMBERS', T .. 'pools')) do look('x:' .. pool, false) end
return found
