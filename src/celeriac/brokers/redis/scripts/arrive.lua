-- Put outcomes of steps into their slots.
-- KEYS: the partition's messages. ARGV: `1` if what becomes ready is kept here, or `0`; then of each: workflow, join, slot,
-- `1` if it failed or `0`, result, message or ''.
-- Returns with `0` the entries of what is ready, each after the workflow, the join that it waited for, and for how many
-- times that has been closed.
-- include: head
-- include: numbers
-- include: records
-- include: ready
-- include: add
-- include: joins
local runs, elsewhere, last = {}, {}, #ARGV
for at = 2, last, 6 do
    local workflow, join = ARGV[at], ARGV[at + 1]
    local many = arrive(ARGV[1] == '0', workflow, join, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
    if many > 0 then
        if ARGV[1] == '1' then
            make_runs(workflow, join, many, runs)
        else
            -- The dues are told as they are now: a repetition is dropped, whatever it says.
            local time = 1 + tonumber(call('HGET', T .. 'w:' .. workflow, 'g' .. join) or 0)
            for _, entry in ipairs(waiting_of(workflow, join, many)) do
                if entry then
                    local length = tonumber(sub(entry, 1, 3))
                    if sub(entry, 4 + length, 4 + length) == 'd' then
                        local due = now / 1000000 + tonumber(sub(entry, 5 + length, 28 + length))
                        entry = sub(entry, 1, 4 + length) .. format('%24.6f', due) .. sub(entry, 29 + length)
                    end
                    for _, part in ipairs({ workflow, join, format('%.0f', time), entry }) do elsewhere[#elsewhere + 1] = part end
                end
            end
        end
    end
end
if #runs > 0 then add(runs) end
wake()
return elsewhere
