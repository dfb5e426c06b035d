-- Forget up to ?1 dead letters older than ?2 seconds.
DELETE FROM message
WHERE seq IN (
    SELECT seq FROM message WHERE state = 5 AND changed <= (SELECT now()) - ?2 ORDER BY changed LIMIT ?1
)
RETURNING 1
