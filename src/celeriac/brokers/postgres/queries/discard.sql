-- Forget the results for these ids; the rows say which of them had not expired.
DELETE FROM celeriac.result WHERE id = ANY ($1::text[]) RETURNING coalesce(expires > celeriac.now(), true)
