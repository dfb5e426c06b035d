-- Set the version of the keys and their contents where there is none.
-- KEYS: the partition's messages. ARGV: version.
-- Returns the version there is (text).
-- include: head
call('SET', T .. 'v', ARGV[1], 'NX')
return call('GET', T .. 'v')
