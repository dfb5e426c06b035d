-- End the lease of owner ?1, or, where that is NULL and it is not later than ?2 (NULL: never), every lease that ran out.
UPDATE owner
SET ended = 1, expires = min(expires, (SELECT now()))
WHERE NOT ended
    AND CASE
        WHEN ?1 IS NOT NULL THEN name = ?1
        ELSE expires <= (SELECT now()) AND (?2 IS NULL OR (SELECT now()) <= ?2)
    END
RETURNING name
