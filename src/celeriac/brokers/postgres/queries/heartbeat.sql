-- Keep a worker's record. $1 name, $2 seconds, $3 record.
INSERT INTO celeriac.worker AS w (name, seen, expires, record) VALUES ($1, celeriac.now(), celeriac.now() + $2, $3)
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, expires = excluded.expires, record = excluded.record
