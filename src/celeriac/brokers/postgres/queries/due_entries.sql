-- At most $1 schedule entries that are due and one more; in each row the store's time and when the first entry after it
-- is due. One row at least.
WITH clock AS MATERIALIZED (SELECT celeriac.now() AS t),
after AS MATERIALIZED (SELECT min(due) AS due FROM celeriac.entry WHERE due > (SELECT t FROM clock))
SELECT clock.t, after.due, e.name, e.edition, e.due, e.state
FROM clock CROSS JOIN after LEFT JOIN LATERAL (
    SELECT name, edition, due, state FROM celeriac.entry WHERE due <= clock.t ORDER BY due LIMIT $1 + 1
) AS e ON true
ORDER BY e.due
