-- Names of schedule entries in their order.
-- KEYS: the partition's messages. ARGV: after which name; most of them.
-- Returns these.
-- include: head
return call('ZRANGEBYLEX', T .. 'e:n', '(' .. ARGV[1], '+', 'LIMIT', 0, ARGV[2])
