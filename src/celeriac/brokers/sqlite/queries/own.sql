-- Set the lease of owner ?1 to ?2 seconds from now.
INSERT INTO owner (name, expires) VALUES (?1, now() + ?2)
ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, ended = 0
