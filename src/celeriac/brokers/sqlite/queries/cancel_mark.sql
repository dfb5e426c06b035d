-- Keep the result of a cancelled task for the moment when its owner gives it back. ?1 id, ?2 expires, ?3 payload.
UPDATE message SET revoked = ?3, revoked_expires = ?2 WHERE id = ?1 AND state IN (3, 4) AND revoked IS NULL
