-- Keep a result instead of an earlier one. ?1 id, ?2 over, ?3 expires, ?4 payload.
INSERT INTO result (id, over, expires, payload) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload
