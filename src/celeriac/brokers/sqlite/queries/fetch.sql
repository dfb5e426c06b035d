-- The results for these ids.
SELECT id, payload FROM result WHERE (expires IS NULL OR expires > now()) AND id IN (?/*items*/)
