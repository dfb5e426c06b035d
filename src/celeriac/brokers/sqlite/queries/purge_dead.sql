-- Drop up to ?3 dead letters of queue ?1 that are not newer than ?2.
DELETE FROM message WHERE seq IN (SELECT seq FROM message WHERE state = 5 AND queue = ?1 AND seq <= ?2 LIMIT ?3)
RETURNING 1
