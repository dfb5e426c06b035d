-- Make ready what is due.
-- KEYS: the partition's messages. ARGV: limit.
-- Returns how many, then, if anything waits, when the next is due (text), and the server's time in microseconds.
-- include: head
-- include: records
-- include: ready
-- include: promote
local limit = tonumber(ARGV[1])
local count = limit > 0 and promote(limit) or 0
wake()
local first = call('ZRANGE', T .. 'd', 0, 0, 'WITHSCORES')
if #first == 0 then return { count } end
return { count, first[2], now }
