-- Keep answers to remote commands for who asked.
-- KEYS: the partition's messages. ARGV: milliseconds to keep them; id of the command and answer, of each.
-- Returns nothing.
-- include: head
for at = 2, #ARGV, 2 do
    local key = T .. 'reply:' .. ARGV[at]
    call('RPUSH', key, ARGV[at + 1])
    call('PEXPIRE', key, ARGV[1])
end
call('PUBLISH', T .. 'wake', '')
