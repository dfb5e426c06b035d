-- What every script begins with. T is what all keys of the partition begin with; `now` is the server's time in
-- microseconds. Lua's numbers are doubles: whole numbers are exact up to 2^53, which all of these stay below.
local T = string.sub(KEYS[1], 1, -2)
local call, sub, byte, format = redis.call, string.sub, string.byte, string.format
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local MANY = 4000 -- Most arguments of one command; unpack() has room for some 8,000.

-- Call a command with all the arguments in a list, some thousand at a time.
local function each(command, key, list)
    for first = 1, #list, MANY do
        call(command, key, unpack(list, first, math.min(first + MANY - 1, #list)))
    end
end

-- The same, and return all replies in one list.
local function read(command, key, list)
    if #list <= MANY then
        if #list == 0 then return {} end
        return call(command, key, unpack(list))
    end
    local replies = {}
    for first = 1, #list, MANY do
        local some = call(command, key, unpack(list, first, math.min(first + MANY - 1, #list)))
        for place = 1, #some do replies[#replies + 1] = some[place] end
    end
    return replies
end
