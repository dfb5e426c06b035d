-- KEYS: the partition's messages.
-- Returns the version of the keys and their contents (text), or nothing.
-- include: head
return call('GET', T .. 'v')
