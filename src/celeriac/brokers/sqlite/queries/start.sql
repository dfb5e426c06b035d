-- A run began. ?1 it is at-most-once; ?2 seq, ?3 token, ?4 owner.
UPDATE message
SET state = 4, once = max(once, ?1), changed = CASE state WHEN 3 THEN now() ELSE changed END
WHERE seq = ?2 AND token = ?3 AND owner = ?4 AND state IN (3, 4)
