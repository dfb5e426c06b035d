-- Keep new messages; those whose ids are known are dropped, and their ids returned. `runs` are places in ARGV where
-- there is: queue, what to add to a number to have a place, due or '', count, then id and value of each.
local function add(runs)
    local ids, sizes = {}, {}
    for _, at in ipairs(runs) do
        sizes[ARGV[at]] = 0
        for place = at + 4, at + 2 + 2 * tonumber(ARGV[at + 3]), 2 do ids[#ids + 1] = ARGV[place] end
    end
    if #ids == 0 then return {} end
    -- Reading first: a key of the wrong type must be found before anything is written.
    local there = read('HMGET', T .. 'm', ids)
    for queue in pairs(sizes) do sizes[queue] = call('ZCARD', T .. 'q:' .. queue) end
    local known, seen, values, ready, waiting, number, nth = {}, {}, {}, {}, {}, numbers(#ids), 0
    for _, at in ipairs(runs) do
        local queue, base, due = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
        local waits = due ~= '' and tonumber(due) > now / 1000000
        local to = waits and waiting or ready
        if not to[queue] then to[queue] = {} end
        to = to[queue]
        if waits and not to.dues then to.dues, to.places = {}, {} end
        for place = at + 4, at + 2 + 2 * tonumber(ARGV[at + 3]), 2 do
            local id = ARGV[place]
            nth = nth + 1
            if there[nth] or seen[id] then
                known[#known + 1] = id
            else
                seen[id] = true
                values[#values + 1] = id
                values[#values + 1] = ARGV[place + 1]
                local score = base + number
                number = number + 1
                if waits then
                    to.dues[#to.dues + 1] = due
                    to.dues[#to.dues + 1] = id
                    to = to.places
                end
                to[#to + 1] = score
                to[#to + 1] = id
                if waits then to = waiting[queue] end
            end
        end
    end
    each('HSET', T .. 'm', values)
    for queue, places in pairs(ready) do
        if #places > 0 then make_ready(queue, places, sizes[queue]) end
    end
    for queue, lists in pairs(waiting) do
        if #lists.dues > 0 then make_wait('l', queue, lists.dues, lists.places) end
    end
    return known
end
