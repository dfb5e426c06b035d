-- Schedule entries by their names.
-- KEYS: the partition's messages. ARGV: names.
-- Returns for each its record, (edition and state) and due time; nils where there is none.
-- include: head
if #ARGV == 0 then return { {}, {}, {} } end
return { read('HMGET', T .. 'e', ARGV), read('HMGET', T .. 'e:s', ARGV), read('ZMSCORE', T .. 'e:d', ARGV) }
