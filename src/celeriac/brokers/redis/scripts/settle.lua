-- Carry out settlements whose lease holds.
-- KEYS: the partition's messages. ARGV: `1` if this partition keeps the results of tasks that were revoked, or `0`; then
-- for each owner: owner, count, and for each settlement:
--   id, plan: token (16 digits), action (d done, r retry, l release, x dead), `c` if the run was lost, `r` if a result
--     follows, `m` if a message does, `a` if an arrival does (`-` if not), what it is counted as;
--   with a result: its id, expiry in milliseconds or '', value;
--   with an arrival: workflow, join, slot, `1` if it failed or `0`, result, message or '';
--   number of runs of follow-ups, and these as parts/add.lua reads them;
--   unless done: due or '', reason (`-`, or `+` and text); with a message: what to add to a number to have a place, value.
-- Returns: the places (from 0) of those whose lease does not hold, and (id, expiry, value) of results that this
-- partition is not to keep, of tasks that were revoked.
-- include: head
-- include: numbers
-- include: records
-- include: ready
-- include: add
-- include: results
-- include: joins
local keeps_results = ARGV[1] == '1'
local items, lost, revoked, plans, at = {}, {}, {}, {}, 2

local function plan_of(text)
    local plan = plans[text]
    if not plan then
        plan = {
            token = sub(text, 1, 16), action = sub(text, 17, 17), crashed = sub(text, 18, 18) == 'c',
            result = sub(text, 19, 19) == 'r', message = sub(text, 20, 20) == 'm', arrival = sub(text, 21, 21) == 'a',
            state = sub(text, 22),
        }
        plan.goes_on = plan.action == 'r' or plan.action == 'l'
        plans[text] = plan
    end
    return plan
end

-- Read ARGV and see which leases hold.
local nth = 0
while at <= #ARGV do
    local owner, count, ids, here = ARGV[at], tonumber(ARGV[at + 1]), {}, {}
    at = at + 2
    for place = 1, count do
        local item = { id = ARGV[at], plan = plan_of(ARGV[at + 1]), nth = nth }
        ids[place], here[place], nth = item.id, item, nth + 1
        at = at + 2
        if item.plan.result then
            item.result = at
            at = at + 3
        end
        if item.plan.arrival then
            item.arrival = at
            at = at + 6
        end
        local runs = tonumber(ARGV[at])
        at = at + 1
        for run = 1, runs do
            item.runs = item.runs or {}
            item.runs[run] = at
            at = at + 4 + 2 * tonumber(ARGV[at + 3])
        end
        if item.plan.action ~= 'd' then
            item.rest = at
            at = at + (item.plan.message and 4 or 2)
        end
    end
    local key, gone = T .. 'o:' .. owner, {}
    local records = read('HMGET', key, ids)
    for place, item in ipairs(here) do
        local record = records[place]
        if record and sub(record, 1, 16) == item.plan.token then
            item.record = record
            items[#items + 1] = item
            gone[#gone + 1] = item.id
        else
            lost[#lost + 1] = item.nth
        end
    end
    each('HDEL', key, gone)
end
if #items == 0 then return { lost, revoked } end

-- What was cancelled while it was owned goes, if it would go on.
if call('EXISTS', T .. 'c') == 1 then
    local ids = {}
    for place, item in ipairs(items) do ids[place] = item.id end
    local marks = read('HMGET', T .. 'c', ids)
    for place, item in ipairs(items) do
        if marks[place] and item.plan.goes_on then item.overruled = marks[place] end
    end
    each('HDEL', T .. 'c', ids)
end

-- Everybody's results and follow-ups come before anybody's message goes.
local runs = {}
for _, item in ipairs(items) do
    if not item.overruled then
        local result = item.result
        if result then keep_result(ARGV[result], ARGV[result + 1], ARGV[result + 2]) end
        if item.runs then
            for _, run in ipairs(item.runs) do runs[#runs + 1] = run end
        end
    end
    local first = item.arrival
    if first and (item.overruled or not item.plan.goes_on) then
        local many = arrive(
            false, ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4], ARGV[first + 5]
        )
        if many > 0 then make_runs(ARGV[first], ARGV[first + 1], many, runs) end
    end
end
if #runs > 0 then add(runs) end

local owned, tallies, gone, changes, messages, ready, dead = {}, {}, {}, {}, {}, {}, {}

-- Keep a message that goes on, or is dead.
local function keep(item, was)
    local plan, rest = item.plan, item.rest
    local header, place = was.header, was.place
    if plan.message then
        messages[#messages + 1] = item.id
        messages[#messages + 1] = ARGV[rest + 3]
        header = header_of(ARGV[rest + 3])
        place = format('%.0f', tonumber(ARGV[rest + 2]) + tonumber(place) % 562949953421312)
    end
    local crashes, suspect = was.crashes, was.suspect
    if plan.crashed then crashes, suspect = crashes + 1, '1' end
    local state, queue, due = 'P', queue_of(header), ARGV[rest]
    if plan.action == 'x' then
        state = 'D'
        call('ZADD', T .. 'dead:' .. queue, place, item.id)
        dead[#dead + 1] = NOW
        dead[#dead + 1] = item.id
        call('SADD', T .. 'queues', queue)
    elseif plan.action == 'l' and due == '' then
        local places = ready[queue] or {}
        ready[queue] = places
        places[#places + 1] = place
        places[#places + 1] = item.id
    else
        state = plan.action == 'r' and 'T' or 'S'
        if due == '' then due = format('%.6f', now / 1000000) end
        make_wait(state == 'T' and 'y' or 'l', queue, { due, item.id }, { place, item.id })
    end
    changes[#changes + 1] = item.id
    changes[#changes + 1] = kept_record(state, place, was.token, NOW, suspect, crashes, ARGV[rest + 1])
end

for _, item in ipairs(items) do
    local plan, record = item.plan, item.record
    local fresh = sub(record, 33, 33) == 'r'
    local was = (not fresh or item.rest) and held(record)
    local header = fresh and sub(record, 34) or was.header
    local state = plan.state
    owned[header] = (owned[header] or 0) + 1
    if item.overruled then
        state = 'REVOKED'
        gone[#gone + 1] = item.id
        local colon = string.find(item.overruled, ':', 1, true)
        local expires, value = sub(item.overruled, 1, colon - 1), sub(item.overruled, colon + 1)
        if keeps_results then
            keep_result(item.id, expires, value)
        else
            for _, part in ipairs({ item.id, expires, value }) do revoked[#revoked + 1] = part end
        end
    elseif plan.action == 'd' then
        gone[#gone + 1] = item.id
    else
        keep(item, was)
    end
    if state ~= '' then
        local counts = tallies[state] or {}
        tallies[state] = counts
        counts[header] = (counts[header] or 0) + 1
    end
end
each('HDEL', T .. 'm', gone)
each('HSET', T .. 'm', messages)
each('HSET', T .. 's', changes)
each('ZADD', T .. 'dead', dead)
for queue, places in pairs(ready) do make_ready(queue, places) end
for header, count in pairs(owned) do count_owned(queue_of(header), -count) end
for state, counts in pairs(tallies) do
    for header, count in pairs(counts) do
        call('HINCRBY', T .. 't', #state .. ':' .. state .. task_of(header), count)
    end
end
wake()
return { lost, revoked }
