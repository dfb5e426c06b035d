-- Forget up to ?1 expired answers to remote commands.
DELETE FROM reply WHERE seq IN (SELECT seq FROM reply WHERE expires <= (SELECT now()) ORDER BY expires LIMIT ?1)
RETURNING 1
