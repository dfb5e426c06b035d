-- Messages that nobody owns, in the order of their numbers.
-- KEYS: the partition's messages. ARGV: the number after which to begin, limit, kinds of lines (q, l, y, dead) joined by
-- commas, `1` and a queue or `0` for all.
-- Returns rows as get.lua does.
-- include: head
-- include: records
local after, limit, SPAN = tonumber(ARGV[1]), tonumber(ARGV[2]), 562949953421312
local found, last = {}, SPAN - 1 -- Of what there is, the first `limit`; none has a number beyond `last`.

local function cut()
    table.sort(found, function(one, other) return one.number < other.number end)
    for place = #found, limit + 1, -1 do found[place] = nil end
    if #found == limit then last = found[limit].number end
end

for _, queue in ipairs(ARGV[4] == '1' and { ARGV[5] } or call('SMEMBERS', T .. 'queues')) do
    for kind in string.gmatch(ARGV[3], '%a+') do
        local key = T .. kind .. ':' .. queue
        if call('EXISTS', key) == 1 then
            for priority = 2, 11 do
                local base = priority * SPAN
                local some = call(
                    'ZRANGEBYSCORE', key, format('(%.0f', base + after), format('%.0f', base + last), 'WITHSCORES',
                    'LIMIT', 0, limit
                )
                for place = 1, #some, 2 do
                    local number = tonumber(some[place + 1]) - base
                    found[#found + 1] = { number = number, id = some[place], place = some[place + 1], kind = kind }
                end
                if #found > 2 * limit then cut() end
            end
        end
    end
end
cut()
local rows = {}
for nth, one in ipairs(found) do
    local record, value = call('HGET', T .. 's', one.id), call('HGET', T .. 'm', one.id)
    local waits = one.kind == 'l' or one.kind == 'y'
    local due = waits and call('ZSCORE', T .. 'd', one.id)
    rows[nth] = { one.id, record and 'k' or waits and 'w' or 'f', one.place, record, due, false, value or '' }
end
return rows
