-- What lies in the slots of a join. $1 workflow, $2 number, $3 after this slot, $4 at most so many, $5 up to this slot.
-- One row more, the first, is the join's: its size and the slot of its first failure.
(SELECT -1 AS slot, size AS first, failed AS second, NULL::boolean AS failed, NULL::bytea AS result, NULL::bytea AS message
FROM celeriac.workflow_join WHERE workflow = $1 AND number = $2)
UNION ALL
(SELECT slot, NULL, NULL, failed, result, message FROM celeriac.workflow_slot
WHERE workflow = $1 AND number = $2 AND slot > $3 AND slot <= $5 ORDER BY slot LIMIT $4)
