-- Drop a worker's record, and the leases of its owners that hold nothing.
-- KEYS: the partition's messages. ARGV: name, owners.
-- Returns nothing.
-- include: head
call('ZREM', T .. 'workers', ARGV[1])
call('HDEL', T .. 'worker', ARGV[1])
for place = 2, #ARGV do
    if call('EXISTS', T .. 'o:' .. ARGV[place]) == 0 then
        call('ZREM', T .. 'leases', ARGV[place])
        call('ZREM', T .. 'ended', ARGV[place])
    end
end
