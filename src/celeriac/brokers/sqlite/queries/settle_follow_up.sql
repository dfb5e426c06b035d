-- Enqueue what follows a settlement if its lease holds and no revocation overrules it.
-- ?1 id, ?2 queue, ?3 task, ?4 priority, ?5 eta, ?6 payload; ?7 seq, ?8 token, ?9 owner, ?10 a revocation overrules it.
INSERT INTO message (id, queue, task, priority, state, due, changed, payload)
SELECT ?1, ?2, ?3, ?4, ?5 IS NOT NULL AND ?5 > now(), CASE WHEN ?5 > now() THEN ?5 END, now(), ?6
WHERE EXISTS (
    SELECT 1 FROM message
    WHERE seq = ?7 AND token = ?8 AND owner = ?9 AND state IN (3, 4) AND NOT (?10 AND revoked IS NOT NULL)
)
ON CONFLICT (id) DO NOTHING
