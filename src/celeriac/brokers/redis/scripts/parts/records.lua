-- How records look; keys.py describes them.

-- The header of a stored message, '' of bytes that are none: priority (a digit), length of the queue's name (a byte), queue, task.
local function header_of(value)
    local high, low = byte(value, 1, 2)
    return low and sub(value, 3, 2 + high * 256 + low) or ''
end

local function queue_of(header)
    return sub(header, 3, 2 + (byte(header, 2) or 0))
end

local function task_of(header)
    return sub(header, 3 + (byte(header, 2) or 0))
end

-- The header for a message whose bytes are gone.
local function lost_header(queue)
    return '0' .. string.char(#queue) .. queue
end

-- What an owner holds: token, place, then `r` and the header (received, never lost before), or `x` and details.
local function held(record)
    local found = { token = sub(record, 1, 16), place = sub(record, 17, 32) }
    if sub(record, 33, 33) == 'r' then
        found.state, found.once, found.suspect, found.crashes = 'R', '0', '0', 0
        found.header, found.reason = sub(record, 34), '-'
    else
        found.state, found.once, found.suspect = sub(record, 34, 34), sub(record, 35, 35), sub(record, 36, 36)
        found.crashes, found.changed = tonumber(sub(record, 37, 42)) or 0, sub(record, 43, 58)
        local length = tonumber(sub(record, 59, 63)) or 0
        found.header, found.reason = sub(record, 64, 63 + length), sub(record, 64 + length)
    end
    return found
end

local function held_record(token, place, state, once, suspect, crashes, changed, header, reason)
    return token .. place .. 'x' .. state .. once .. suspect .. format('%06d', math.min(crashes, 999999)) .. changed
        .. format('%05d', #header) .. header .. reason
end

-- What is known of a message that waits, or is dead, and is not as it was sent.
local function kept_record(state, place, token, changed, suspect, crashes, reason)
    return state .. place .. token .. changed .. suspect .. format('%06d', math.min(crashes, 999999)) .. reason
end

local function kept(record)
    return {
        state = sub(record, 1, 1), place = sub(record, 2, 17), token = sub(record, 18, 33), changed = sub(record, 34, 49),
        suspect = sub(record, 50, 50), crashes = tonumber(sub(record, 51, 56)) or 0, reason = sub(record, 57),
    }
end

local NOW = format('%016.0f', now)
local NONE = '0000000000000000'
