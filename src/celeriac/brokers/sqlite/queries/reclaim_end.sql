-- End the lease of owner ?1, or, where that is NULL, every lease that ran out.
UPDATE owner
SET ended = 1, expires = min(expires, (SELECT now()))
WHERE NOT ended AND CASE WHEN ?1 IS NULL THEN expires <= (SELECT now()) ELSE name = ?1 END
RETURNING name
