-- Workflows, the oldest first. $1 ids, or NULL: after number $2, at most $3.
SELECT w.seq, w.id, w.created, w.ended, j.size, j.remaining, j.failed IS NOT NULL, w.record
FROM celeriac.workflow w JOIN celeriac.workflow_join j ON j.workflow = w.id AND j.number = 0
WHERE CASE WHEN $1::text[] IS NULL THEN w.seq > $2 ELSE w.id = ANY ($1::text[]) END
ORDER BY w.seq LIMIT $3
