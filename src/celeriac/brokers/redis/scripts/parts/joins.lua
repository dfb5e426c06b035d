-- Joins of workflows; core/workflow.py has the rules, keys.py the fields of the hash `w:<workflow>`.
-- In Cluster mode with several partitions what becomes ready may belong elsewhere: arrive() then returns it.

-- Put an outcome into its slot. Returns the number of messages that wait for the join if that closes it; `again`: or if
-- the same slot has closed it before.
local function arrive(again, workflow, join, slot, failed, result, message)
    local key = T .. 'w:' .. workflow
    local was = call('HMGET', key, 'r' .. join, 'f' .. join, 'c' .. join, 's' .. join .. ':' .. slot, 'k' .. join)
    if not was[1] then return 0 end
    local many = tonumber(was[5] or 0)
    if was[4] then return again and was[3] == slot and many or 0 end
    call('HSET', key, 's' .. join .. ':' .. slot, failed .. result)
    if message ~= '' then call('HSET', key, 'x' .. join .. ':' .. slot, message) end
    local remaining = call('HINCRBY', key, 'r' .. join, -1)
    if failed == '1' and not was[2] then call('HSET', key, 'f' .. join, slot) end
    if was[3] or not (remaining <= 0 or (join ~= '0' and (was[2] or failed == '1'))) then return 0 end
    call('HSET', key, 'c' .. join, slot)
    if join == '0' then
        local milliseconds = math.floor(now / 1000)
        call('HSET', key, 'ended', format('%.0f', now))
        local lasts = call('HGET', key, 'keep')
        if lasts and lasts ~= '' then call('ZADD', T .. 'wover', milliseconds + tonumber(lasts), workflow) end
    end
    return many
end

-- What waits for a join, as plant.lua keeps it: three digits, the id, `d` or `e` or `-`, a number of 24 characters, value.
local function waiting_of(workflow, join, many)
    local fields = {}
    for place = 0, many - 1 do fields[#fields + 1] = 'm' .. join .. ':' .. place end
    return read('HMGET', T .. 'w:' .. workflow, fields)
end

-- Append what waits for a join to ARGV, as runs that add() reads; the places of these runs go to `runs`.
local function make_runs(workflow, join, many, runs)
    for _, entry in ipairs(waiting_of(workflow, join, many)) do
        if entry then
            local length = tonumber(sub(entry, 1, 3))
            local kind, number = sub(entry, 4 + length, 4 + length), tonumber(sub(entry, 5 + length, 28 + length))
            local value, due = sub(entry, 29 + length), ''
            if kind == 'd' then due = format('%.6f', now / 1000000 + number) end
            if kind == 'e' then due = format('%.6f', number) end
            local header = header_of(value)
            local base = format('%.0f', (11 - tonumber(sub(header, 1, 1))) * 562949953421312)
            runs[#runs + 1] = #ARGV + 1
            for _, part in ipairs({ queue_of(header), base, due, '1', sub(entry, 4, 3 + length), value }) do
                ARGV[#ARGV + 1] = part
            end
        end
    end
end
