-- Which leases hold?
-- KEYS: the partition's messages. ARGV: owner, id, token (16 digits) of each.
-- Returns the places (from 0) of those that do not, and of those that do and whose task was cancelled.
-- include: head
local lost, cancelled = {}, {}
for at = 1, #ARGV, 3 do
    local record = call('HGET', T .. 'o:' .. ARGV[at], ARGV[at + 1])
    if not record or sub(record, 1, 16) ~= ARGV[at + 2] then
        lost[#lost + 1] = (at - 1) / 3
    elseif call('HEXISTS', T .. 'c', ARGV[at + 1]) == 1 then
        cancelled[#cancelled + 1] = (at - 1) / 3
    end
end
return { lost, cancelled }
