-- Write schedule entries.
-- KEYS: the partition's messages. ARGV: the channel of those who wait for entries; then for each: name, edition (16
-- digits), due or '', state, record, the edition it may replace ('' for any; 0: there must be none), 1 if the due time of
-- what is there stays.
-- Returns the names of those that may not replace what is there.
-- include: head
-- include: entries
local names, refused = {}, {}
for at = 2, #ARGV, 7 do names[#names + 1] = ARGV[at] end
local there = read('HMGET', T .. 'e:s', names)
local records, states, waiting, gone, order = {}, {}, {}, {}, {}
for nth, name in ipairs(names) do
    local at = 7 * nth - 5
    local edition, due, replaces = ARGV[at + 1], ARGV[at + 2], ARGV[at + 5]
    local found, old_due, state
    if there[nth] then found, old_due, state = known_of(there[nth]) end
    if replaces ~= '' and tonumber(found or 0) ~= tonumber(replaces) and found ~= edition then
        refused[#refused + 1] = name
    else
        if found and ARGV[at + 6] == '1' then due = old_due end
        push(records, name, ARGV[at + 4])
        push(states, name, edition .. due .. '\0' .. (state or ARGV[at + 3]))
        if not found then push(order, '0', name) end
        if due == '' then gone[#gone + 1] = name else push(waiting, due, name) end
    end
end
each('HSET', T .. 'e', records)
each('HSET', T .. 'e:s', states)
each('ZADD', T .. 'e:n', order)
each('ZADD', T .. 'e:d', waiting)
each('ZREM', T .. 'e:d', gone)
tell()
return refused
