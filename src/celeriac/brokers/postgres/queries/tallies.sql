-- How many settlements there have been.
SELECT task, state, sum(count)::bigint FROM celeriac.tally GROUP BY task, state
