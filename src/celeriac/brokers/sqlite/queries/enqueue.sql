-- Keep a message unless its id is known. ?1 id, ?2 queue, ?3 task, ?4 priority, ?5 eta, ?6 payload.
INSERT INTO message (id, queue, task, priority, state, due, changed, payload)
VALUES (?1, ?2, ?3, ?4, ?5 IS NOT NULL AND ?5 > now(), CASE WHEN ?5 > now() THEN ?5 END, now(), ?6)
ON CONFLICT (id) DO NOTHING
