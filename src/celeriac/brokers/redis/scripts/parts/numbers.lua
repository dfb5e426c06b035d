-- Reserve this many numbers of the partition's counter and return the first. The counter follows the time, in units of
-- four microseconds since 2020, so that it never goes back, whatever becomes of the stored value.
local function numbers(count)
    local first = math.max(tonumber(call('GET', T .. 'n') or 0) or 0, math.floor((now - 1577836800000000) / 4)) + 1
    call('SET', T .. 'n', format('%.0f', first + count - 1))
    return first
end
