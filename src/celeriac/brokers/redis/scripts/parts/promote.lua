-- Make up to `limit` messages ready that are due; return how many.
local function promote(limit)
    local ids = call('ZRANGEBYSCORE', T .. 'd', '-inf', format('%.6f', now / 1000000), 'LIMIT', 0, limit)
    if #ids == 0 then return 0 end
    local values, records = call('HMGET', T .. 'm', unpack(ids)), call('HMGET', T .. 's', unpack(ids))
    local lines, changes = {}, {} -- Lines by kind and queue: their ids, and what is known of these.
    for place, id in ipairs(ids) do
        if values[place] then
            local record = records[place]
            local name = (record and sub(record, 1, 1) == 'T' and 'y:' or 'l:') .. queue_of(header_of(values[place]))
            local line = lines[name] or { ids = {}, records = {} }
            lines[name] = line
            line.ids[#line.ids + 1] = id
            line.records[#line.ids] = record
        end
    end
    call('ZREM', T .. 'd', unpack(ids))
    for name, line in pairs(lines) do
        local places = {}
        local scores = call('ZMSCORE', T .. name, unpack(line.ids))
        for nth, id in ipairs(line.ids) do
            local record = line.records[nth] and kept(line.records[nth])
                or { token = NONE, suspect = '0', crashes = 0, reason = '-' }
            local place = scores[nth] or record.place
            changes[#changes + 1] = id
            changes[#changes + 1] =
                kept_record('P', place, record.token, NOW, record.suspect, record.crashes, record.reason)
            places[#places + 1] = place
            places[#places + 1] = id
        end
        call('ZREM', T .. name, unpack(line.ids))
        make_ready(sub(name, 3), places)
    end
    each('HSET', T .. 's', changes)
    return #ids
end
