-- Schedule entries by their names.
-- KEYS: the partition's messages. ARGV: names.
-- Returns for each its record, and what is known of it, as parts/entries.lua has it; nils where there is none.
-- include: head
if #ARGV == 0 then return { {}, {} } end
return { read('HMGET', T .. 'e', ARGV), read('HMGET', T .. 'e:s', ARGV) }
