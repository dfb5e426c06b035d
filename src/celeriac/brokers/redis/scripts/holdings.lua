-- What an owner holds.
-- KEYS: the partition's messages. ARGV: owner.
-- Returns id and token (text) of each message, one after the other.
-- include: head
local all, found = call('HGETALL', T .. 'o:' .. ARGV[1]), {}
for at = 1, #all, 2 do
    found[at], found[at + 1] = all[at], sub(all[at + 1], 1, 16)
end
return found
