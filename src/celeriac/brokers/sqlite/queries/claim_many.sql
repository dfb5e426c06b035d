-- Lease to owner ?1 up to ?2 ready messages of several queues: the first ?2 of each queue, and of these the first ?2.
-- The rows come in no order.
WITH
    asked (owner, size) AS (VALUES (?1, ?2)),
    wanted (queue) AS (VALUES (?)/*rows*/),
    ready (seq) AS (
        SELECT m.seq
        FROM (SELECT DISTINCT queue FROM wanted) AS w CROSS JOIN message AS m
        WHERE m.seq IN (
            SELECT seq FROM message WHERE state = 0 AND queue = w.queue
            ORDER BY priority DESC, seq LIMIT (SELECT size FROM asked)
        )
        ORDER BY m.priority DESC, m.seq LIMIT (SELECT size FROM asked)
    )
UPDATE message
SET state = 3, owner = (SELECT owner FROM asked), token = token + 1, changed = (SELECT now())
WHERE seq IN (SELECT seq FROM ready)
RETURNING priority, seq, id, token, crashes, suspect, revoked IS NOT NULL, payload
