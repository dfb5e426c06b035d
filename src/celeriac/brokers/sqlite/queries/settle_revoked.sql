-- Drop messages that would go on but were cancelled. ?1 JSON array of seq; ?2 token, ?3 owner.
DELETE FROM message
WHERE seq IN (SELECT value FROM json_each(?1)) AND token = ?2 AND owner = ?3 AND state IN (3, 4)
    AND revoked IS NOT NULL
