-- Forget the results for these ids; the rows say which of them had not expired.
DELETE FROM result WHERE id IN (?/*items*/) RETURNING coalesce(expires > now(), 1)
