-- Give whoever was given a verdict, ?1, a lease of ?2 seconds, if it has none that runs.
INSERT INTO owner (name, expires)
SELECT ?1, now() + ?2 WHERE EXISTS (SELECT 1 FROM message WHERE state IN (3, 4) AND owner = ?1)
ON CONFLICT (name) DO UPDATE SET expires = excluded.expires WHERE expires <= now()
