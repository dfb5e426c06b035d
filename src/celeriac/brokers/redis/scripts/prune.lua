-- Forget what does not expire by itself and is not needed any more.
-- KEYS: the partition's messages. ARGV: age of dead letters in microseconds or '', limit of each kind, for how many
-- microseconds owners whose lease was ended are remembered.
-- Returns the owners that went, and how many else.
-- include: head
-- include: records
local limit, count = tonumber(ARGV[2]), 0
local until_now = format('%.0f', now)

local function expired(key, to)
    return call('ZRANGEBYSCORE', T .. key, '-inf', to, 'LIMIT', 0, limit)
end

for _, name in ipairs(expired('workers', until_now)) do
    call('ZREM', T .. 'workers', name)
    call('HDEL', T .. 'worker', name)
    count = count + 1
end
if call('EXISTS', T .. 'commands') == 1 then
    local gone = 0
    for _, command in ipairs(call('ZRANGE', T .. 'commands', 0, -1)) do
        if gone < limit and tonumber(sub(command, 1, 16)) <= now then
            call('ZREM', T .. 'commands', command)
            gone = gone + 1
        end
    end
    count = count + gone
end
local owners = {}
for _, owner in ipairs(expired('leases', until_now)) do
    if not call('ZSCORE', T .. 'ended', owner) and call('EXISTS', T .. 'o:' .. owner) == 0 then
        call('ZREM', T .. 'leases', owner)
        owners[#owners + 1] = owner
    end
end
for _, owner in ipairs(expired('ended', format('%.0f', now - tonumber(ARGV[3])))) do
    if call('EXISTS', T .. 'o:' .. owner) == 0 then
        call('ZREM', T .. 'ended', owner)
        call('ZREM', T .. 'leases', owner)
        owners[#owners + 1] = owner
    end
end
if ARGV[1] ~= '' then
    for _, id in ipairs(expired('dead', format('%.0f', now - tonumber(ARGV[1])))) do
        local value = call('HGET', T .. 'm', id)
        if value then call('ZREM', T .. 'dead:' .. queue_of(header_of(value)), id) end
        call('ZREM', T .. 'dead', id)
        call('HDEL', T .. 'm', id)
        call('HDEL', T .. 's', id)
        count = count + 1
    end
end
for _, queue in ipairs(call('SRANDMEMBER', T .. 'queues', limit)) do
    if call('EXISTS', T .. 'q:' .. queue, T .. 'l:' .. queue, T .. 'y:' .. queue, T .. 'dead:' .. queue) == 0 then
        call('SREM', T .. 'queues', queue)
    end
end
return { owners, count }
