-- Drop up to $3 messages that wait in queue $1 and are not newer than $2; say how many.
WITH gone AS (
    DELETE FROM celeriac.message WHERE seq = ANY (ARRAY(
        SELECT seq FROM celeriac.message WHERE state IN (0, 1, 2) AND queue = $1 AND seq <= $2
        ORDER BY seq LIMIT $3 FOR UPDATE
    )) AND state IN (0, 1, 2)
    RETURNING 1
)
SELECT count(*) FROM gone
