-- Forget the results for these ids; the rows say which of them had not expired.
DELETE FROM result WHERE id IN (?/*items*/) RETURNING expires IS NULL OR expires > now()
