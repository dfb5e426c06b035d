-- Keep one new message that is ready at once, as most calls send: what enqueue.lua does, without its lists.
-- KEYS: the partition's messages. ARGV: sender, number and milliseconds as for enqueue.lua; queue, what to add to a number
-- to have a place, id and value.
-- Returns 1 if it is kept, 0 if its id was known; false if this number, or a later one, has come from the sender before.
-- include: head
-- include: numbers
-- include: ready
-- include: hand
local sender, queue, id = ARGV[1], ARGV[4], ARGV[6]
if sender ~= '' and tonumber(call('GET', T .. 'from:' .. sender) or 0) >= tonumber(ARGV[2]) then return false end
local there = call('ZCARD', T .. 'q:' .. queue) -- A key of the wrong type must be found before anything is written.
local number = numbers(1)
local kept = call('HSETNX', T .. 'm', id, ARGV[7])
if kept == 1 then
    local place = tonumber(ARGV[5]) + number
    if there > 0 or not hand_over(queue, place, number, id, ARGV[7]) then make_ready(queue, { place, id }, there) end
end
if sender ~= '' then call('SET', T .. 'from:' .. sender, ARGV[2], 'PX', ARGV[3]) end
wake()
return kept
