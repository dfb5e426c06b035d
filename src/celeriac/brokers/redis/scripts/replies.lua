-- The answers to a remote command so far.
-- KEYS: the partition's messages. ARGV: id of the command.
-- Returns them.
-- include: head
return call('LRANGE', T .. 'reply:' .. ARGV[1], 0, -1)
