-- Drop up to ?3 messages that wait in queue ?1 and are not newer than ?2.
DELETE FROM message
WHERE seq IN (
    SELECT * FROM (
        SELECT seq FROM message WHERE state = 0 AND queue = ?1 AND seq <= ?2
        UNION ALL
        SELECT seq FROM message WHERE state IN (1, 2) AND queue = ?1 AND seq <= ?2
    )
    LIMIT ?3
)
RETURNING 1
