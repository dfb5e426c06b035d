-- Count settlements with state ?1, by task. ?2 JSON array of seq; ?3 token, ?4 owner, ?5 a revocation overrules them.
INSERT INTO tally (task, state, count)
SELECT task, ?1, count(*) FROM message
WHERE seq IN (SELECT value FROM json_each(?2)) AND token = ?3 AND owner = ?4 AND state IN (3, 4)
    AND NOT (?5 AND revoked IS NOT NULL)
GROUP BY task
ON CONFLICT (task, state) DO UPDATE SET count = count + excluded.count
