-- Handing a new message over to an owner that waits for it: what its claim would do, a round trip earlier.
local CANDIDATES, LARGEST = 4, 65536 -- Idle owners that are looked at; bytes of a message that is published.

-- Who waits for the queue, holds nothing, has a lease, and listens here for what is handed over; the last to come first.
local function receiver(queue)
    local idle = redis.pcall('ZREVRANGE', T .. 'idle:' .. queue, 0, CANDIDATES - 1)
    for place = 1, #idle do
        local owner = idle[place]
        local expires = tonumber(redis.pcall('ZSCORE', T .. 'leases', owner)) -- Whatever key that is.
        -- A lease that a reclaim has ended has run out as well, until the owner begins anew.
        if expires and expires > now and call('EXISTS', T .. 'o:' .. owner) == 0 then
            -- Only the subscribers of this node count, and PUBLISH reaches all: with one here, there is no other.
            local heard = redis.pcall('PUBSUB', 'NUMSUB', T .. 'hand:' .. owner)
            if heard[2] == 1 then return owner end
        end
    end
end

-- Lease a message that was just kept, and is the only one of its queue, to an owner, and send it there. `number` is one of
-- numbers(). Return whether somebody has it.
local function hand_over(queue, place, number, id, value)
    if #value > LARGEST then return false end
    local owner = receiver(queue)
    if not owner then return false end
    local mark, high, low = format('%016.0f', number), byte(value, 1, 2)
    local header = sub(value, 3, 2 + high * 256 + low) -- As header_of() in records.lua, which is long.
    -- First of all: who may not publish there leaves the message for a claim. It is heard when the script is over.
    if redis.pcall('PUBLISH', T .. 'hand:' .. owner, mark .. format('%03d', #id) .. id .. value) ~= 1 then return false end
    call('HSET', T .. 'o:' .. owner, id, mark .. format('%.0f', place) .. 'r' .. header)
    call('ZREM', T .. 'idle:' .. queue, owner)
    call('SADD', T .. 'queues', queue)
    count_owned(queue, 1)
    return true
end
