-- Set the version of the keys and their contents where there is none.
-- KEYS: the partition's messages. ARGV: version.
-- Returns the version there is (text).
-- Writes nothing where there is one: a full server refuses that, and workers must start there to drain it.
-- include: head
-- Whoever may not publish is told so here, and not by a script that fails at its end, when it has done all before it.
call('PUBLISH', T .. 'wake', '')
local there = call('GET', T .. 'v')
if there then return there end
call('SET', T .. 'v', ARGV[1])
return ARGV[1]
