local wakes = false -- There is something that a waiter may wait for.
local sooner = false -- There is an earlier time to keep.
local fresh = {} -- Queue -> how many messages it has that nobody was woken for.

-- Put messages into a queue. `places` is a list of place, id, place, id ...; `there`: how many it has, if that is known.
local function make_ready(queue, places, there)
    local key = T .. 'q:' .. queue
    if (there or call('ZCARD', key)) == 0 then
        call('SADD', T .. 'queues', queue)
        wakes = true
    end
    each('ZADD', key, places)
    fresh[queue] = (fresh[queue] or 0) + #places / 2
end

-- Let messages of a queue wait, for their time (`l`) or to be tried again (`y`). `dues` is a list of due, id ...;
-- `places` of place, id ...
local function make_wait(kind, queue, dues, places)
    local first = tonumber(call('ZRANGE', T .. 'd', 0, 0, 'WITHSCORES')[2])
    for place = 1, #dues, 2 do
        local due = tonumber(dues[place])
        if due <= now / 1000000 then -- The next claim makes it ready.
            fresh[queue], wakes = (fresh[queue] or 0) + 1, true
        elseif not first or due < first then
            sooner = true
        end
    end
    call('SADD', T .. 'queues', queue)
    each('ZADD', T .. 'd', dues)
    each('ZADD', T .. kind .. ':' .. queue, places)
end

-- Wake as many of those who wait for a queue, the last one to come first. Who does not hear it is gone, or hears by
-- another node of a Cluster: the next one is woken, too.
local function rouse(queue, count)
    while count > 0 do
        local owner = redis.pcall('ZPOPMAX', T .. 'idle:' .. queue)[1]
        if not owner then return end
        if redis.pcall('PUBLISH', T .. 'wake:' .. owner, '') ~= 0 then count = count - 1 end
    end
end

-- Tell who waits. A script is not undone where it fails: to whom this is forbidden (install.lua finds out) may go on
-- without, since waiters also look now and then.
local function wake()
    for queue, count in pairs(fresh) do rouse(queue, count) end
    if wakes or sooner then redis.pcall('PUBLISH', T .. 'wake', '') end
    if sooner then redis.pcall('PUBLISH', T .. 'sooner', '') end
end

-- Count what is owned of each queue.
local function count_owned(queue, more)
    if call('HINCRBY', T .. 'owned', queue, more) <= 0 then call('HDEL', T .. 'owned', queue) end
end
