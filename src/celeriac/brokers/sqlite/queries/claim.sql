-- Lease to owner ?1 up to ?2 ready messages of queue ?3. The rows come in no order.
UPDATE message
SET state = 3, owner = ?1, token = token + 1, changed = (SELECT now())
WHERE seq IN (SELECT seq FROM message WHERE state = 0 AND queue = ?3 ORDER BY priority DESC, seq LIMIT ?2)
RETURNING priority, seq, id, token, crashes, suspect, revoked IS NOT NULL, payload
