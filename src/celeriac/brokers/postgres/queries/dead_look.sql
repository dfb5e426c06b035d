-- Is there so much that was deleted, in which table, and was the last sweep over $2 seconds ago?
SELECT relname::text FROM pg_stat_user_tables
WHERE schemaname = $1 AND n_dead_tup > $3
    AND coalesce(greatest(last_vacuum, last_autovacuum) < clock_timestamp() - make_interval(secs => $2), true)
