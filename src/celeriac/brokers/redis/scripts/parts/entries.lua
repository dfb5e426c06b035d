-- Schedule entries; keys.py describes what is kept of them.
local function push(list, first, second)
    list[#list + 1] = first
    list[#list + 1] = second
end

-- What is known of an entry: edition (16 digits), due or '', a NUL, and its state. Returns these three.
local function known_of(value)
    local nul = string.find(value, '\0', 17, true)
    return sub(value, 1, 16), sub(value, 17, nul - 1), sub(value, nul + 1)
end

-- Tell who waits for entries to change, on the channel that is the first argument.
local function tell()
    redis.pcall('PUBLISH', ARGV[1], '')
end
