-- Forget up to ?1 expired remote commands.
DELETE FROM command WHERE seq IN (SELECT seq FROM command WHERE expires <= (SELECT now()) ORDER BY seq LIMIT ?1)
RETURNING 1
