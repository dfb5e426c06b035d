-- Renew leases.
-- KEYS: the partition's messages. ARGV: lease in microseconds, owners.
-- Returns the owners whose lease a reclaim had ended.
-- include: head
-- include: numbers
-- include: owner
-- include: urgent
urgent()
local expires, ended = now + tonumber(ARGV[1]), {}
for place = 2, #ARGV do
    if begin_anew(ARGV[place]) then ended[#ended + 1] = ARGV[place] end
    call('ZADD', T .. 'leases', expires, ARGV[place])
end
return ended
