-- Forget up to ?1 owners that have no lease and hold nothing; those that are to be told so are kept for ?2 seconds.
DELETE FROM owner
WHERE name IN (
    SELECT name FROM owner
    WHERE expires + CASE WHEN ended THEN ?2 ELSE 0 END <= (SELECT now())
        AND NOT EXISTS (SELECT 1 FROM message WHERE state IN (3, 4) AND message.owner = owner.name)
    LIMIT ?1
)
RETURNING 1
