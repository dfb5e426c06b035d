-- Let a key expire in this many milliseconds, or later if that was said before.
local function keep(key, milliseconds)
    if call('PTTL', key) < milliseconds then call('PEXPIRE', key, milliseconds) end
end
