-- The results for these ids.
SELECT id, payload FROM celeriac.result WHERE id = ANY ($1::text[]) AND (expires IS NULL OR expires > celeriac.now())
