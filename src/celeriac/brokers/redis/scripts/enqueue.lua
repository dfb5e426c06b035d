-- Keep new messages.
-- KEYS: the partition's messages. ARGV: sender, number and for how many milliseconds to remember it, or '', '' and ''; then
-- runs of messages, as parts/add.lua reads them, one after the other.
-- Returns the ids that were known; false if this number, or a later one, has come from the sender before.
-- include: head
-- include: numbers
-- include: ready
-- include: add
local sender, runs, at = ARGV[1], {}, 4
if sender ~= '' and tonumber(call('GET', T .. 'from:' .. sender) or 0) >= tonumber(ARGV[2]) then return false end
while at <= #ARGV do
    runs[#runs + 1] = at
    at = at + 4 + 2 * tonumber(ARGV[at + 3])
end
local known = add(runs)
if sender ~= '' then call('SET', T .. 'from:' .. sender, ARGV[2], 'PX', ARGV[3]) end
wake()
return known
