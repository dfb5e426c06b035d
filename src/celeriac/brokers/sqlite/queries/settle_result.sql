-- Store a settlement's result if its lease holds and no revocation overrules it.
-- ?1 id, ?2 over, ?3 expires, ?4 payload; ?5 seq, ?6 token, ?7 owner, ?8 a revocation overrules it.
INSERT INTO result (id, over, expires, payload)
SELECT ?1, ?2, ?3, ?4
WHERE EXISTS (
    SELECT 1 FROM message
    WHERE seq = ?5 AND token = ?6 AND owner = ?7 AND state IN (3, 4) AND NOT (?8 AND revoked IS NOT NULL)
)
ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload
