-- Owners that have found nothing, and wait for queues: `ARGV[first]` and those behind it.
local IDLE, AGAIN = 60000000, 20000000 -- For how long they are known, and after how long that is renewed, in microseconds.

-- Know an owner as idle. That is a hint, and the claim must not fail with it where nothing may be written.
local function become_idle(owner, first)
    for place = first, #ARGV do
        local key = T .. 'idle:' .. ARGV[place]
        local since = tonumber(redis.pcall('ZSCORE', key, owner))
        if not since or since < now - AGAIN then
            redis.pcall('ZREMRANGEBYSCORE', key, '-inf', now - IDLE) -- It needs no memory: see urgent.lua.
            redis.pcall('ZADD', key, now, owner)
            redis.pcall('PEXPIRE', key, IDLE / 1000)
        end
    end
end

-- Nobody is to wake it any more. This is also the write that needs no memory: see urgent.lua.
local function become_busy(owner, first)
    for place = first, #ARGV do redis.pcall('ZREM', T .. 'idle:' .. ARGV[place], owner) end
end
