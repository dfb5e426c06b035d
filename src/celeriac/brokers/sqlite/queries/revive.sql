-- Put dead letters back into their queues as if new.
UPDATE message
SET
    state = 0,
    crashes = 0,
    suspect = 0,
    revoked = NULL,
    revoked_expires = NULL,
    reason = NULL,
    changed = (SELECT now())
WHERE state = 5 AND id IN (?/*items*/)
RETURNING id
