-- The workflows with these ids.
SELECT w.seq, w.id, w.created, w.ended, j.size, j.remaining, j.failed IS NOT NULL, w.record
FROM workflow w JOIN workflow_join j ON j.workflow = w.id AND j.number = 0
WHERE w.id IN (?/*items*/) ORDER BY w.seq
