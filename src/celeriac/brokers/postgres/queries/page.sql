-- Up to $3 messages after cursor $1 in certain states, of queue $2 or of all where that is NULL.
SELECT seq, id, CASE WHEN started THEN 4 ELSE state END, queue, CASE WHEN state <> 5 THEN due END, owner, token, crashes,
    reason, changed, payload
FROM celeriac.message
WHERE seq > $1 AND (/*states*/) AND ($2::text IS NULL OR queue = $2)
ORDER BY seq LIMIT $3
