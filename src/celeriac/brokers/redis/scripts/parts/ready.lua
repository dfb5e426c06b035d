local wakes = false -- There is something that a waiter may wait for.

-- Put messages into a queue. `places` is a list of place, id, place, id ...
local function make_ready(queue, places)
    local key = T .. 'q:' .. queue
    if call('ZCARD', key) == 0 then
        call('SADD', T .. 'queues', queue)
        wakes = true
    end
    each('ZADD', key, places)
end

-- Let messages of a queue wait, for their time (`l`) or to be tried again (`y`). `dues` is a list of due, id ...;
-- `places` of place, id ...
local function make_wait(kind, queue, dues, places)
    local first = tonumber(call('ZRANGE', T .. 'd', 0, 0, 'WITHSCORES')[2])
    for place = 1, #dues, 2 do
        if not first or tonumber(dues[place]) < first then
            wakes = true
            break
        end
    end
    call('SADD', T .. 'queues', queue)
    each('ZADD', T .. 'd', dues)
    each('ZADD', T .. kind .. ':' .. queue, places)
end

-- Tell who waits. A script is not undone where it fails: to whom this is forbidden (install.lua finds out) may go on
-- without, since waiters also look now and then.
local function wake()
    if wakes then redis.pcall('PUBLISH', T .. 'wake', '') end
end

-- Count what is owned of each queue.
local function count_owned(queue, more)
    if call('HINCRBY', T .. 'owned', queue, more) <= 0 then call('HDEL', T .. 'owned', queue) end
end
