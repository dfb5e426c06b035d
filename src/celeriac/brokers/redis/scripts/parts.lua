-- A page of a workflow's parts. KEYS: the partition's messages. ARGV: workflow, after this place, at most so many.
-- Returns a list of place and record.
-- include: head
local key, after = T .. 'w:' .. ARGV[1], tonumber(ARGV[2])
local last = math.min(tonumber(call('HGET', key, 'q') or 0), math.max(after, 0) + tonumber(ARGV[3]))
local found = {}
for place = math.max(after, 0) + 1, last do
    found[#found + 1] = place
    found[#found + 1] = call('HGET', key, 'p' .. call('HGET', key, 'q' .. format('%.0f', place)))
end
return found
