-- Forget up to ?1 workers whose heartbeats have ceased.
DELETE FROM worker WHERE name IN (SELECT name FROM worker WHERE expires <= (SELECT now()) LIMIT ?1)
RETURNING 1
