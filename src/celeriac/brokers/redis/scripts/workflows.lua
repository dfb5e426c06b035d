-- Workflows. KEYS: the partition's messages. ARGV: after this number, at most so many; ids, or none for all.
-- Returns of each: number, id, created, ended or '', size, remaining, whether one failed (0 or 1), record.
-- include: head
local ids, found = {}, {}
for nth = 3, #ARGV do ids[#ids + 1] = ARGV[nth] end
if #ids == 0 then
    ids = call('ZRANGEBYSCORE', T .. 'workflows', '(' .. ARGV[1], '+inf', 'LIMIT', 0, tonumber(ARGV[2]))
end
for _, id in ipairs(ids) do
    local has = call('HMGET', T .. 'w:' .. id, 'created', 'ended', 'z0', 'r0', 'f0', 'record')
    local number = call('ZSCORE', T .. 'workflows', id)
    if has[6] and number then
        for _, part in ipairs({ number, id, has[1], has[2] or '', has[3], has[4], has[5] and 1 or 0, has[6] }) do
            found[#found + 1] = part
        end
    end
end
return found
