-- Which schedule entries are due?
-- KEYS: the partition's messages. ARGV: most of them.
-- Returns the time in microseconds; names of those and what is known of each, as parts/entries.lua has it; when the next is
-- due, or ''.
-- include: head
local limit, until_now = tonumber(ARGV[1]), format('%.6f', now / 1000000)
local names, after = {}, ''
if limit > 0 then names = call('ZRANGEBYSCORE', T .. 'e:d', '-inf', until_now, 'LIMIT', 0, limit + 1) end
if #names > limit then
    after = call('ZSCORE', T .. 'e:d', table.remove(names))
else
    local next = call('ZRANGEBYSCORE', T .. 'e:d', '(' .. until_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if next[2] then after = next[2] end
end
return { now, names, read('HMGET', T .. 'e:s', names), after }
