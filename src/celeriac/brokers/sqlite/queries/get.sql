-- The messages with these ids.
SELECT seq, id, state, queue, due, owner, token, crashes, reason, changed, payload
FROM message WHERE id IN (?/*items*/)
