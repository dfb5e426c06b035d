-- The remote commands after a cursor.
-- KEYS: the partition's messages. ARGV: cursor, or '' for none of them.
-- Returns the cursor to go on from, then command and cursor of each, one after the other; all cursors as text.
-- include: head
local found = { call('GET', T .. 'n') or '0' }
if ARGV[1] == '' then return found end
local all = call('ZRANGEBYSCORE', T .. 'commands', '(' .. ARGV[1], '+inf', 'WITHSCORES')
for place = 1, #all, 2 do
    if (tonumber(sub(all[place], 1, 16)) or 0) > now then
        found[#found + 1] = sub(all[place], 17)
        found[#found + 1] = all[place + 1]
    end
end
return found
