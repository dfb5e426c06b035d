-- Keep a remote command for all workers.
-- KEYS: the partition's messages. ARGV: command, milliseconds to keep it.
-- Returns nothing.
-- include: head
-- include: numbers
-- include: keep
local milliseconds = tonumber(ARGV[2])
call('ZADD', T .. 'commands', numbers(1), format('%016.0f', now + milliseconds * 1000) .. ARGV[1])
keep(T .. 'commands', milliseconds)
call('PUBLISH', T .. 'wake', '')
