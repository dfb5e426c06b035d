-- Where is a message? Returns nil, or its value, header, queue, state, and place; `record` if it is not as it was sent;
-- `due` if it waits; `owner` (`+` and a name, or `-`) and `held` if it is owned.
local holders
local function find(id)
    local value = call('HGET', T .. 'm', id)
    if not value then return nil end
    local one = { value = value, header = header_of(value) }
    one.queue = queue_of(one.header)
    local record = call('HGET', T .. 's', id)
    if record then
        one.record, one.kind = record, 'k'
        local was = kept(record)
        one.state, one.place = was.state, was.place
        if one.state == 'S' or one.state == 'T' then one.due = call('ZSCORE', T .. 'd', id) end
        return one
    end
    one.place = call('ZSCORE', T .. 'q:' .. one.queue, id)
    if one.place then
        one.state, one.kind = 'P', 'f'
        return one
    end
    one.place = call('ZSCORE', T .. 'l:' .. one.queue, id)
    if one.place then
        one.state, one.kind, one.due = 'S', 'w', call('ZSCORE', T .. 'd', id)
        return one
    end
    if not holders then
        holders = {}
        for _, owner in ipairs(call('ZRANGE', T .. 'leases', 0, -1)) do
            if call('EXISTS', T .. 'o:' .. owner) == 1 then holders[#holders + 1] = { T .. 'o:' .. owner, '+' .. owner } end
        end
        for _, pool in ipairs(call('SMEMBERS', T .. 'pools')) do holders[#holders + 1] = { T .. 'x:' .. pool, '-' } end
    end
    for _, holder in ipairs(holders) do
        record = call('HGET', holder[1], id)
        if record then
            one.record, one.kind, one.owner = record, 'h', holder[2]
            local was = held(record)
            one.state, one.place = was.state, was.place
            return one
        end
    end
    return nil
end

-- Let a message go that nobody owns.
local function drop(id, one)
    call('HDEL', T .. 'm', id)
    call('HDEL', T .. 's', id)
    if one.state == 'P' then
        call('ZREM', T .. 'q:' .. one.queue, id)
    elseif one.state == 'D' then
        call('ZREM', T .. 'dead:' .. one.queue, id)
        call('ZREM', T .. 'dead', id)
    else
        call('ZREM', T .. (one.state == 'T' and 'y:' or 'l:') .. one.queue, id)
        call('ZREM', T .. 'd', id)
    end
end
