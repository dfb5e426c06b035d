-- Reserve this many numbers of the partition's counter and return the first. The counter follows the time, in units of
-- four microseconds since 2020, so that it never goes back, whatever becomes of the stored value. One that cannot be
-- ours (2^49 comes in 2091) is passed over: it would spoil all places and tokens for good.
local function numbers(count)
    local first = math.floor((now - 1577836800000000) / 4) + 1
    local last = tonumber(call('SET', T .. 'n', format('%.0f', first + count - 1), 'GET') or 0) or 0
    if last >= first and last < 562949953421312 then -- Nor is `nan` less.
        first = last + 1
        call('SET', T .. 'n', format('%.0f', first + count - 1))
    end
    return first
end
