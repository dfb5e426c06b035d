-- Forget up to ?1 expired results.
DELETE FROM result
WHERE id IN (
    SELECT id FROM result WHERE expires IS NOT NULL AND expires <= (SELECT now()) ORDER BY expires LIMIT ?1
)
RETURNING 1
