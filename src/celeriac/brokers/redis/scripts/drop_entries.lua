-- Drop schedule entries.
-- KEYS: the partition's messages. ARGV: the channel of those who wait for entries; then names.
-- Returns the names of those that were there.
-- include: head
-- include: entries
local gone = {}
for nth = 2, #ARGV do
    local name = ARGV[nth]
    if call('HDEL', T .. 'e:s', name) == 1 then gone[#gone + 1] = name end
    call('HDEL', T .. 'e', name)
    call('ZREM', T .. 'e:d', name)
    call('ZREM', T .. 'e:n', name)
end
tell()
return gone
