-- Set the lease of owner ?1 to ?2 seconds from now, if the statement before, the claim, got it anything.
INSERT INTO owner (name, expires) SELECT ?1, now() + ?2 WHERE changes() > 0
ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, ended = 0
