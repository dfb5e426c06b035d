-- Put dead letters back into their queues as if new, and forget what is stored here about how they ended.
-- KEYS: the partition's messages. ARGV: ids.
-- Returns those that were dead letters.
-- include: head
-- include: records
-- include: ready
local revived = {}
for _, id in ipairs(ARGV) do
    local record = call('ZSCORE', T .. 'dead', id) and call('HGET', T .. 's', id)
    local value = record and call('HGET', T .. 'm', id)
    if value then
        local was, queue = kept(record), queue_of(header_of(value))
        call('ZREM', T .. 'dead', id)
        call('ZREM', T .. 'dead:' .. queue, id)
        call('HSET', T .. 's', id, kept_record('P', was.place, was.token, NOW, '0', 0, '-'))
        make_ready(queue, { was.place, id })
        call('DEL', T .. 'r:' .. id)
        revived[#revived + 1] = id
    end
end
wake()
return revived
