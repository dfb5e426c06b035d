-- Workflows, the oldest first. ?1 after this number, ?2 at most so many.
SELECT w.seq, w.id, w.created, w.ended, j.size, j.remaining, j.failed IS NOT NULL, w.record
FROM workflow w JOIN workflow_join j ON j.workflow = w.id AND j.number = 0
WHERE w.seq > ?1 ORDER BY w.seq LIMIT ?2
