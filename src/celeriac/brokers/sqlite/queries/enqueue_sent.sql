-- The same as enqueue, where call ?8 of sender ?7 is its newest and was not noted before it came.
INSERT INTO message (id, queue, task, priority, state, due, changed, payload)
SELECT ?1, ?2, ?3, ?4, ?5 IS NOT NULL AND ?5 > now(), CASE WHEN ?5 > now() THEN ?5 END, now(), ?6
FROM sender WHERE name = ?7 AND number = ?8 AND before < ?8
ON CONFLICT (id) DO NOTHING
