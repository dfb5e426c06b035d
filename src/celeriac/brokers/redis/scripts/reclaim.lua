-- Free what owners held whose lease ran out, or what one owner holds.
-- KEYS: the partition's messages. ARGV: who judges, its lease in microseconds, limit, most crashes, `1` and an owner or
-- `0` and '', until when to do it or '', id and token of each guilty run.
-- Returns: the ids released; (id, value, crashes, `1` if cancelled) of the verdicts; the token of all; the owners whose
-- lease was ended; the time, in microseconds.
-- include: head
-- include: numbers
-- include: records
-- include: ready
-- include: urgent
local judge, lease, limit, most, by_name, name = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local guilty = {}
for at = 8, #ARGV, 2 do guilty[ARGV[at]] = ARGV[at + 1] end
if ARGV[7] ~= '' and now > tonumber(ARGV[7]) then return { {}, {}, 0, {}, now } end
by_name = by_name == '1'
local released, verdicts, ended, token, mark = {}, {}, {}, 0, ''
local sources = {} -- key, owner or false
if by_name then
    sources[1] = { T .. 'o:' .. name, name }
else
    for _, pool in ipairs(call('SRANDMEMBER', T .. 'pools', 100)) do sources[#sources + 1] = { T .. 'x:' .. pool, false, pool } end
    for _, owner in ipairs(call('ZRANGEBYSCORE', T .. 'leases', '-inf', format('%.0f', now), 'LIMIT', 0, limit + 100)) do
        sources[#sources + 1] = { T .. 'o:' .. owner, owner }
    end
end

local leases, marks, judged, ready, changes, owned = {}, call('EXISTS', T .. 'c') == 1, {}, {}, {}, {}

-- Decide about one message; true if it goes to the judge.
local function free(id, record)
    local was = held(record)
    local crashed = was.state == 'S' and not by_name or guilty[id] == was.token
    local crashes = was.crashes + (crashed and 1 or 0)
    local cancelled = marks and call('HEXISTS', T .. 'c', id) == 1
    if cancelled or was.once == '1' or (most > 0 and crashes >= most) then
        judged[#judged + 1] = id
        judged[#judged + 1] = held_record(mark, was.place, 'R', was.once, '1', crashes, NOW, was.header, was.reason)
        verdicts[#verdicts + 1] = id
        verdicts[#verdicts + 1] = call('HGET', T .. 'm', id) or ''
        verdicts[#verdicts + 1] = crashes
        verdicts[#verdicts + 1] = cancelled and 1 or 0
        return
    end
    local queue = queue_of(was.header)
    local places = ready[queue] or {}
    ready[queue], owned[queue] = places, (owned[queue] or 0) + 1
    places[#places + 1] = was.place
    places[#places + 1] = id
    changes[#changes + 1] = id
    changes[#changes + 1] = kept_record('P', was.place, mark, NOW, '1', crashes, was.reason)
    released[#released + 1] = id
end

if #sources > 0 then urgent() end
for _, source in ipairs(sources) do
    local key, owner, pool = source[1], source[2], source[3]
    if limit <= 0 then break end
    local known = owner and call('ZSCORE', T .. 'leases', owner)
    if known and not call('ZSCORE', T .. 'ended', owner) then
        ended[#ended + 1] = owner
        call('ZADD', T .. 'ended', now, owner)
        if tonumber(known) > now then call('ZADD', T .. 'leases', now, owner) end
    end
    local size, gone = call('HLEN', key), {}
    if size > 0 then
        if token == 0 then
            token = numbers(1)
            mark = format('%016.0f', token)
        end
        local cursor, seen = '0', {} -- Not HGETALL: an owner may hold many times the limit.
        repeat
            local some = call('HSCAN', key, cursor, 'COUNT', limit)
            cursor = some[1]
            for place = 1, #some[2], 2 do
                local id = some[2][place]
                if #gone < limit and not seen[id] then
                    seen[id] = true -- A scan may show one twice.
                    free(id, some[2][place + 1])
                    gone[#gone + 1] = id
                end
            end
        until cursor == '0' or #gone == limit
        each('HDEL', key, gone)
        limit = limit - #gone
    end
    if #gone == size then
        if owner then call('ZREM', T .. 'leases', owner) else call('SREM', T .. 'pools', pool) end
    end
end
each('HSET', T .. 's', changes)
each('HSET', T .. 'o:' .. judge, judged)
for queue, places in pairs(ready) do make_ready(queue, places) end
for queue, count in pairs(owned) do count_owned(queue, -count) end
if #judged > 0 then
    local expires = tonumber(call('ZSCORE', T .. 'leases', judge))
    if not expires or expires <= now then call('ZADD', T .. 'leases', now + tonumber(lease), judge) end
end
wake()
return { released, verdicts, token, ended, now }
