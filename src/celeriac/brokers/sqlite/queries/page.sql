-- Up to ?3 messages after cursor ?1 in any of the states ?4 (JSON array), of queue ?2 or of all where that is NULL.
SELECT seq, id, state, queue, due, owner, token, crashes, reason, changed, payload
FROM message /*index*/
WHERE seq > ?1 AND state IN (SELECT value FROM json_each(?4)) AND (?2 IS NULL OR queue = ?2)
ORDER BY seq LIMIT ?3
