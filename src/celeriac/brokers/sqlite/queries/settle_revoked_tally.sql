-- Count messages that would go on but were cancelled. ?1 JSON array of seq; ?2 token, ?3 owner.
INSERT INTO tally (task, state, count)
SELECT task, 'REVOKED', count(*) FROM message
WHERE seq IN (SELECT value FROM json_each(?1)) AND token = ?2 AND owner = ?3 AND state IN (3, 4)
    AND revoked IS NOT NULL
GROUP BY task
ON CONFLICT (task, state) DO UPDATE SET count = count + excluded.count
