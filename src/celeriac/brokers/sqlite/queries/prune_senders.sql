-- Forget up to ?1 senders that have sent nothing for as long as they wanted to be remembered.
DELETE FROM sender WHERE name IN (SELECT name FROM sender WHERE expires <= (SELECT now()) LIMIT ?1)
RETURNING 1
