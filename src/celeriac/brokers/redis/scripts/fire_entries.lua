-- Enqueue what schedule entries send and advance them, if they are of the edition and due at the time that was seen.
-- KEYS: the partition's messages. ARGV: for each: name, edition (16 digits), due or '', next due or '', state, number of
-- runs of messages, and these as parts/add.lua reads them.
-- Returns the names of the others.
-- include: head
-- include: numbers
-- include: ready
-- include: add
-- include: entries
local items, names, at = {}, {}, 1
while at <= #ARGV do
    local item = { at = at, runs = {} }
    items[#items + 1] = item
    names[#names + 1] = ARGV[at]
    local count = tonumber(ARGV[at + 5])
    at = at + 6
    for run = 1, count do
        item.runs[run] = at
        at = at + 4 + 2 * tonumber(ARGV[at + 3])
    end
end
local states, scores = read('HMGET', T .. 'e:s', names), read('ZMSCORE', T .. 'e:d', names)
local refused, runs, changes, waiting, gone = {}, {}, {}, {}, {}
for nth, item in ipairs(items) do
    local name, edition, due, next = names[nth], ARGV[item.at + 1], ARGV[item.at + 2], ARGV[item.at + 3]
    local state, score = states[nth], scores[nth]
    local same = due == '' and not score or due ~= '' and score and tonumber(score) == tonumber(due)
    if not state or sub(state, 1, 16) ~= edition or not same then
        refused[#refused + 1] = name
    else
        for _, run in ipairs(item.runs) do runs[#runs + 1] = run end
        push(changes, name, edition .. ARGV[item.at + 4])
        if next == '' then gone[#gone + 1] = name else push(waiting, next, name) end
    end
end
if #runs > 0 then add(runs) end
each('HSET', T .. 'e:s', changes)
each('ZADD', T .. 'e:d', waiting)
each('ZREM', T .. 'e:d', gone)
wake()
return refused
