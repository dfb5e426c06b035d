-- Enqueue what a schedule entry sends if it is of edition ?8 and due at ?9.
-- ?1 id, ?2 queue, ?3 task, ?4 priority, ?5 eta, ?6 payload; ?7 name, ?8 edition, ?9 due.
INSERT INTO message (id, queue, task, priority, state, due, changed, payload)
SELECT ?1, ?2, ?3, ?4, ?5 IS NOT NULL AND ?5 > now(), CASE WHEN ?5 > now() THEN ?5 END, now(), ?6
WHERE EXISTS (SELECT 1 FROM entry WHERE name = ?7 AND edition = ?8 AND due IS ?9)
ON CONFLICT (id) DO NOTHING
