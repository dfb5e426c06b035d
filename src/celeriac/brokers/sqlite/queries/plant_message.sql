-- Keep what waits for a join. ?1 workflow, ?2 number, ?3 seq; ?4 id, ?5 queue, ?6 task, ?7 priority, ?8 eta, ?9 payload;
-- ?10 delay.
INSERT INTO workflow_message (workflow, number, seq, id, queue, task, priority, eta, payload, delay)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (workflow, number, seq) DO NOTHING
