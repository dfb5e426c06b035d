-- Enqueue what schedule entries send and advance them, if all are of the edition and due at the time that was seen.
-- KEYS: the partition's messages. ARGV: how many entries; for each: name; edition (16 digits), due or '', and a NUL; next
-- due or ''; state; then runs of messages, as parts/add.lua reads them.
-- Returns the names of those that are not, and then nothing was done.
-- include: head
-- include: numbers
-- include: ready
-- include: add
-- include: entries
local count, names = tonumber(ARGV[1]), {}
for nth = 1, count do names[nth] = ARGV[4 * nth - 2] end
local states, refused, changes, waiting, gone = read('HMGET', T .. 'e:s', names), {}, {}, {}, {}
for nth, name in ipairs(names) do
    local seen, next, state = ARGV[4 * nth - 1], ARGV[4 * nth], states[nth]
    if not state or sub(state, 1, #seen) ~= seen then
        refused[#refused + 1] = name
    else
        push(changes, name, sub(seen, 1, 16) .. next .. '\0' .. ARGV[4 * nth + 1])
        if next == '' then gone[#gone + 1] = name else push(waiting, next, name) end
    end
end
if #refused > 0 then return refused end
local runs, at = {}, 4 * count + 2
while at <= #ARGV do
    runs[#runs + 1] = at
    at = at + 4 + 2 * tonumber(ARGV[at + 3])
end
if #runs > 0 then add(runs) end
each('HSET', T .. 'e:s', changes)
each('ZADD', T .. 'e:d', waiting)
each('ZREM', T .. 'e:d', gone)
wake()
return refused
