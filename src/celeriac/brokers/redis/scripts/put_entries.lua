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
    local edition, due, replaces, was = ARGV[at + 1], ARGV[at + 2], ARGV[at + 5], there[nth]
    local found = was and sub(was, 1, 16)
    if replaces ~= '' and tonumber(found or 0) ~= tonumber(replaces) and found ~= edition then
        refused[#refused + 1] = name
    else
        push(records, name, ARGV[at + 4])
        push(states, name, edition .. (was and sub(was, 17) or ARGV[at + 3]))
        if not was then push(order, '0', name) end
        if not was or ARGV[at + 6] ~= '1' then
            if due == '' then gone[#gone + 1] = name else push(waiting, due, name) end
        end
    end
end
each('HSET', T .. 'e', records)
each('HSET', T .. 'e:s', states)
each('ZADD', T .. 'e:n', order)
each('ZADD', T .. 'e:d', waiting)
each('ZREM', T .. 'e:d', gone)
tell()
return refused
