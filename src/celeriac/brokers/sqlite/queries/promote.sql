-- Make ready up to ?1 messages that are due, those that waited longest first.
UPDATE message
SET state = 0, due = NULL, changed = (SELECT now())
WHERE seq IN (
    SELECT seq FROM message WHERE state IN (1, 2) AND due <= (SELECT now()) ORDER BY due, seq LIMIT ?1
)
RETURNING 1
