-- Count what there is of each queue.
-- KEYS: the partition's messages.
-- Returns for each queue that has any: name, ready, waiting, owned, dead, since when the oldest is ready in seconds
-- (text, or nothing); then the server's time in microseconds.
-- include: head
-- include: records
local SPAN = 562949953421312 -- 2^49

-- When did the message become ready that has been so longest? One that is as it was sent became so with its number, and
-- none behind it did so earlier. Of many that were given back or have waited, the first are looked at.
local function oldest(key)
    local best
    for priority = 2, 11 do
        local at, base = 0, priority * SPAN
        local more = true
        while more and at < 300 do
            local count = at == 0 and 1 or 100
            local some = call(
                'ZRANGEBYSCORE', key, format('%.0f', base), format('(%.0f', base + SPAN), 'WITHSCORES', 'LIMIT', at, count
            )
            more = #some == 2 * count
            for place = 1, #some, 2 do
                local record = call('HGET', T .. 's', some[place])
                local since = record and tonumber(kept(record).changed)
                    or (tonumber(some[place + 1]) - base) * 4 + 1577836800000000
                if not best or since < best then best = since end
                if not record then
                    more = false
                    break
                end
            end
            at = at + count
        end
    end
    return best and format('%.6f', best / 1000000)
end

local counts, names, found = {}, call('SMEMBERS', T .. 'queues'), {}
local owned = call('HGETALL', T .. 'owned')
for place = 1, #owned, 2 do counts[owned[place]] = tonumber(owned[place + 1]) end
for _, queue in ipairs(names) do counts[queue] = counts[queue] or 0 end
for queue, held_now in pairs(counts) do
    local key = T .. 'q:' .. queue
    local ready, dead = call('ZCARD', key), call('ZCARD', T .. 'dead:' .. queue)
    local waiting = call('ZCARD', T .. 'l:' .. queue) + call('ZCARD', T .. 'y:' .. queue)
    if ready + waiting + dead + held_now > 0 then
        found[#found + 1] = { queue, ready, waiting, held_now, dead, ready > 0 and oldest(key) or false }
    end
end
return { found, now }
