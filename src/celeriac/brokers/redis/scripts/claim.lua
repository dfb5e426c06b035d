-- Lease ready messages to an owner, the most urgent first, then the oldest.
-- KEYS: the partition's messages. ARGV: owner, lease in microseconds, limit, most bytes, `1` if an owner that finds
-- nothing is to be known as idle, or `0`; queues. With a limit of 0 it only ceases to be idle, and another one is woken.
-- Returns nothing, or: token, ids, values, and (place, crashes, suspect) of each that is not as it was sent.
-- include: head
-- include: numbers
-- include: records
-- include: ready
-- include: promote
-- include: owner
-- include: idle
local owner, lease, limit, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
promote(500)
local queues = {}
for place = 6, #ARGV do
    local key = T .. 'q:' .. ARGV[place]
    local count = call('ZCARD', key)
    if count > 0 then queues[#queues + 1] = { name = ARGV[place], key = key, left = count } end
end

-- Of what is left, somebody else is woken for what this has made ready, and for one more: so no owner that was woken and
-- takes little, or nothing, or was woken twice, leaves another one asleep.
local function wake_for_the_rest()
    for _, queue in ipairs(queues) do
        fresh[queue.name] = queue.left > 0 and math.min(queue.left, fresh[queue.name] or 1) or nil
    end
    wake()
end

if #queues == 0 and limit > 0 then
    if ARGV[5] == '1' then become_idle(owner, 6) end
    wake()
    return {}
end
become_busy(owner, 6)
if limit == 0 then
    wake_for_the_rest()
    return {}
end
begin_anew(owner)
local token = numbers(1)
local mark, keeps = format('%016.0f', token), call('EXISTS', T .. 's') == 1
local ids, values, odd, records, owned, bytes, step = {}, {}, {}, {}, {}, 0, math.min(limit, 16)

-- Take the next `count` messages of the only queue.
local function next_of_one(count)
    local popped = call('ZPOPMIN', queues[1].key, count)
    queues[1].left = queues[1].left - #popped / 2
    return popped
end

-- Take the next `count` messages of several queues, which are one line.
local function next_of_all(count)
    local popped, names, ahead = {}, {}, math.max(8, math.ceil(2 * count / #queues))
    for _, queue in ipairs(queues) do
        queue.seen, queue.at, queue.used = call('ZRANGE', queue.key, 0, ahead - 1, 'WITHSCORES'), 1, 0
    end
    while #popped < 2 * count do
        local best, best_score
        for _, queue in ipairs(queues) do
            if queue.at > #queue.seen and #queue.seen == 2 * ahead then
                queue.seen = call('ZRANGE', queue.key, queue.used, queue.used + ahead - 1, 'WITHSCORES')
                queue.at = 1
            end
            local score = tonumber(queue.seen[queue.at + 1])
            if score and (not best or score < best_score) then best, best_score = queue, score end
        end
        if not best then break end
        popped[#popped + 1] = best.seen[best.at]
        popped[#popped + 1] = best.seen[best.at + 1]
        names[#names + 1] = best.name
        best.at, best.used = best.at + 2, best.used + 1
    end
    for _, queue in ipairs(queues) do
        if queue.used > 0 then
            call('ZPOPMIN', queue.key, queue.used)
            queue.left = queue.left - queue.used
        end
    end
    return popped, names
end

-- What somebody put into a queue may be no text, and nothing that reads it here could name it.
local function readable(id)
    return (string.gsub(id, '[\128-\255]', function(one) return format('\\x%02x', byte(one)) end))
end

local take = #queues == 1 and next_of_one or next_of_all
while #ids < limit and step > 0 do
    local popped, names = take(math.min(step, limit - #ids))
    if #popped == 0 then break end
    local some = {}
    for place = 1, #popped, 2 do some[#some + 1] = popped[place] end
    local found = call('HMGET', T .. 'm', unpack(some))
    local marks = keeps and call('HMGET', T .. 's', unpack(some))
    for place, id in ipairs(some) do
        local value = found[place] or ''
        local header = header_of(value)
        if header == '' then
            header = lost_header(names and names[place] or queues[1].name)
            if value == '' then id = readable(id) end
        end
        local at = popped[2 * place]
        if #at ~= 16 then at = format('%.0f', 11 * 562949953421312 + token) end -- Not of our making: the last place.
        owned[header] = (owned[header] or 0) + 1
        local nth = #ids + 1
        ids[nth], values[nth] = id, value
        records[2 * nth - 1] = id
        bytes = bytes + #value
        if marks and marks[place] then
            local was = kept(marks[place])
            odd[#odd + 1], odd[#odd + 2], odd[#odd + 3] = nth, was.crashes, was.suspect
            records[2 * nth] = held_record(
                mark, at, 'R', '0', was.suspect, was.crashes, NOW, header, was.reason
            )
        else
            records[2 * nth] = mark .. at .. 'r' .. header
        end
    end
    if marks then call('HDEL', T .. 's', unpack(some)) end
    -- Not more bytes than one reply should have; at least one message.
    step = math.min(500, math.floor((room - bytes) / (bytes / #ids + 1)))
end
each('HSET', T .. 'o:' .. owner, records)
call('ZADD', T .. 'leases', now + lease, owner)
for header, count in pairs(owned) do count_owned(queue_of(header), count) end
wake_for_the_rest()
return { token, ids, values, odd }
