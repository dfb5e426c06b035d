-- Keep new messages.
-- KEYS: the partition's messages. ARGV: runs of messages, as parts/add.lua reads them, one after the other.
-- Returns the ids that were known.
-- include: head
-- include: numbers
-- include: ready
-- include: add
local runs, at = {}, 1
while at <= #ARGV do
    runs[#runs + 1] = at
    at = at + 4 + 2 * tonumber(ARGV[at + 3])
end
local known = add(runs)
wake()
return known
