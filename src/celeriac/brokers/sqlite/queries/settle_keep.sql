-- Give a message back: to its queue, to wait for its time, or among the dead letters.
-- ?1 state, ?2 due, ?3 queue, ?4 priority, ?5 task, ?6 payload (NULL leaves these four as they are), ?7 the run was lost,
-- ?8 reason; ?9 seq, ?10 token, ?11 owner.
UPDATE message
SET
    state = ?1,
    due = CASE WHEN ?1 IN (1, 2) THEN coalesce(?2, now()) END,
    queue = coalesce(?3, queue),
    priority = coalesce(?4, priority),
    task = coalesce(?5, task),
    payload = coalesce(?6, payload),
    crashes = crashes + ?7,
    suspect = max(suspect, ?7),
    once = 0,
    owner = NULL,
    reason = ?8,
    changed = now()
WHERE seq = ?9 AND token = ?10 AND owner = ?11 AND state IN (3, 4)
