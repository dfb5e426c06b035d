-- Drop messages that wait in a queue, or its dead letters.
-- KEYS: the partition's messages. ARGV: queue, kinds of lines (q, l, y, dead) joined by commas, limit, the last number to
-- drop, or '' for the last there is.
-- Returns how many went, and that number (text).
-- include: head
local queue, limit, SPAN = ARGV[1], tonumber(ARGV[3]), 562949953421312
local last, count = ARGV[4], 0
if last == '' then last = call('GET', T .. 'n') or '0' end
for kind in string.gmatch(ARGV[2], '%a+') do
    local key = T .. kind .. ':' .. queue
    for priority = 2, 11 do
        local base = priority * SPAN
        local ids = count < limit and call(
            'ZRANGEBYSCORE', key, format('%.0f', base), format('%.0f', base + tonumber(last)), 'LIMIT', 0, limit - count
        ) or {}
        if #ids > 0 then
            call('HDEL', T .. 'm', unpack(ids))
            call('HDEL', T .. 's', unpack(ids))
            call('ZREM', key, unpack(ids))
            if kind == 'dead' then
                call('ZREM', T .. 'dead', unpack(ids))
            elseif kind ~= 'q' then
                call('ZREM', T .. 'd', unpack(ids))
            end
            count = count + #ids
        end
    end
end
return { count, last }
