-- Keep a worker's record.
-- KEYS: the partition's messages. ARGV: name, record, milliseconds to keep it.
-- Returns nothing.
-- include: head
-- include: keep
-- include: urgent
urgent()
call('ZADD', T .. 'workers', now + tonumber(ARGV[3]) * 1000, ARGV[1])
call('HSET', T .. 'worker', ARGV[1], format('%016.0f', now) .. ARGV[2])
keep(T .. 'workers', tonumber(ARGV[3]))
keep(T .. 'worker', tonumber(ARGV[3]))
