-- Which schedule entries are due?
-- KEYS: the partition's messages. ARGV: most of them.
-- Returns the time in microseconds; names, due times and (edition and state) of those; when the next is due, or ''.
-- include: head
local limit, until_now = tonumber(ARGV[1]), format('%.6f', now / 1000000)
local found = limit > 0 and call('ZRANGEBYSCORE', T .. 'e:d', '-inf', until_now, 'WITHSCORES', 'LIMIT', 0, limit + 1) or {}
local names, dues = {}, {}
for at = 1, math.min(#found, 2 * limit), 2 do
    names[#names + 1] = found[at]
    dues[#dues + 1] = found[at + 1]
end
local after = ''
if #found > 2 * limit then
    after = found[2 * limit + 2]
else
    local next = call('ZRANGEBYSCORE', T .. 'e:d', '(' .. until_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if next[2] then after = next[2] end
end
return { now, names, dues, read('HMGET', T .. 'e:s', names), after }
