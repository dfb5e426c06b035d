-- Forget workflows. KEYS: the partition's messages. ARGV: ids; or `over` and how many of those that are over for long
-- enough, after an empty one. Returns how many went.
-- include: head
local ids, count = ARGV, 0
if ARGV[1] == '' then
    ids = call('ZRANGEBYSCORE', T .. 'wover', '-inf', format('%.0f', now / 1000), 'LIMIT', 0, tonumber(ARGV[2]))
end
for _, id in ipairs(ids) do
    count = count + call('UNLINK', T .. 'w:' .. id)
    call('ZREM', T .. 'workflows', id)
    call('ZREM', T .. 'wover', id)
end
return count
