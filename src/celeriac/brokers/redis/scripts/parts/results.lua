-- Store a result and tell who waits for it. `expires` in milliseconds since the epoch, or ''.
local now_in_milliseconds = math.floor(now / 1000)
local function keep_result(id, expires, value)
    local key = T .. 'r:' .. id
    if expires == '' then
        call('SET', key, value)
    else
        call('SET', key, value, 'PX', math.max(1, expires - now_in_milliseconds))
    end
    redis.pcall('PUBLISH', T .. 'done:' .. id, '') -- As wake() in ready.lua.
end
