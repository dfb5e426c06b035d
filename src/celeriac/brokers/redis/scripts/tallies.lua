-- KEYS: the partition's messages.
-- Returns length of the state, colon, state, task; and the count, of each, one after the other.
-- include: head
return call('HGETALL', T .. 't')
