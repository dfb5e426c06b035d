-- Schedule entries; keys.py describes what is kept of them.
local function push(list, first, second)
    list[#list + 1] = first
    list[#list + 1] = second
end

-- Tell who waits for entries to change, on the channel that is the first argument.
local function tell()
    redis.pcall('PUBLISH', ARGV[1], '')
end
