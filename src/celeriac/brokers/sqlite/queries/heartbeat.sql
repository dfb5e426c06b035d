-- Keep the record ?3 of worker ?1 for ?2 seconds.
INSERT INTO worker (name, seen, expires, record) VALUES (?1, now(), now() + ?2, ?3)
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, expires = excluded.expires, record = excluded.record
