-- Write a schedule entry; no row comes back if what is there is not what it may replace.
-- ?1 name, ?2 edition, ?3 due, ?4 state, ?5 record, ?6 the edition it may replace (0: none, NULL: any), ?7 the due time
-- of what is there stays.
INSERT INTO entry (name, edition, due, state, record)
SELECT ?1, ?2, ?3, ?4, ?5
WHERE ?6 IS NULL OR coalesce((SELECT edition FROM entry WHERE name = ?1), 0) IN (?6, ?2)
ON CONFLICT (name) DO UPDATE SET
    edition = excluded.edition,
    due = CASE WHEN ?7 THEN due ELSE excluded.due END,
    record = excluded.record
RETURNING 1
