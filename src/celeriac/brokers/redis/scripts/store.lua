-- Keep results.
-- KEYS: the partition's messages. ARGV: id, expiry in milliseconds since the epoch or '', value, of each.
-- Returns nothing.
-- include: head
-- include: results
for at = 1, #ARGV, 3 do keep_result(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
