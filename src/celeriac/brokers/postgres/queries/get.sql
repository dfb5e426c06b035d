-- The messages with these ids.
SELECT seq, id, CASE WHEN started THEN 4 ELSE state END, queue, CASE WHEN state <> 5 THEN due END, owner, token, crashes,
    reason, changed, payload
FROM celeriac.message WHERE id = ANY ($1::text[])
