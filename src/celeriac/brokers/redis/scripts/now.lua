-- KEYS: the partition's messages.
-- Returns the server's time in microseconds since the epoch.
-- include: head
return now
