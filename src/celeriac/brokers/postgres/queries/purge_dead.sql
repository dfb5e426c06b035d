-- Drop up to $3 dead letters of queue $1 that are not newer than $2; say how many.
WITH gone AS (
    DELETE FROM celeriac.message WHERE seq = ANY (ARRAY(
        SELECT seq FROM celeriac.message WHERE state = 5 AND queue = $1 AND seq <= $2 ORDER BY seq LIMIT $3 FOR UPDATE
    )) AND state = 5
    RETURNING 1
)
SELECT count(*) FROM gone
