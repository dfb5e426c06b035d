-- Store the result of a cancelled task that waits. ?1 id, ?2 over, ?3 expires, ?4 payload.
INSERT INTO result (id, over, expires, payload)
SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM message WHERE id = ?1 AND state IN (0, 1, 2))
ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload
