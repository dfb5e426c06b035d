-- Facts about the server and the schema: name and value. What may not be seen is NULL or counts as nothing. Settings of
-- time are in milliseconds; one that this version does not know is not there.
SELECT 'version', current_setting('server_version_num')
UNION ALL SELECT name, setting FROM pg_settings WHERE name IN (
    'autovacuum', 'default_transaction_isolation', 'full_page_writes', 'fsync', 'idle_in_transaction_session_timeout',
    'idle_session_timeout', 'lock_timeout', 'max_connections', 'server_encoding',
    'statement_timeout', 'superuser_reserved_connections', 'synchronous_commit', 'transaction_timeout')
UNION ALL SELECT 'standby', pg_is_in_recovery()::text
UNION ALL SELECT 'read_only', current_setting('transaction_read_only')
UNION ALL SELECT 'user', current_user::text
UNION ALL SELECT 'database', current_database()::text
UNION ALL SELECT 'connections', sum(numbackends)::text FROM pg_stat_database
UNION ALL SELECT 'database_connections', numbackends::text FROM pg_stat_database WHERE datname = current_database()
UNION ALL SELECT 'database_limit', datconnlimit::text FROM pg_database WHERE datname = current_database()
UNION ALL SELECT 'age', age(datfrozenxid)::text FROM pg_database WHERE datname = current_database()
UNION ALL SELECT 'user_connections', count(*)::text FROM pg_stat_activity
    WHERE usename = current_user AND backend_type = 'client backend'
UNION ALL SELECT 'user_limit', rolconnlimit::text FROM pg_roles WHERE rolname = current_user
UNION ALL SELECT 'oldest', max(extract(epoch FROM clock_timestamp() - xact_start))::text FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
UNION ALL SELECT 'prepared', max(extract(epoch FROM clock_timestamp() - prepared))::text FROM pg_prepared_xacts
    WHERE database = current_database()
UNION ALL SELECT 'idle_slots', string_agg(slot_name::text, ', ' ORDER BY slot_name) FROM pg_replication_slots
    WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL OR restart_lsn IS NOT NULL)
UNION ALL SELECT 'held', max(age(xmin))::text FROM pg_replication_slots
UNION ALL SELECT 'unswept', string_agg(relname::text, ', ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind = 'r'
        AND EXISTS (SELECT 1 FROM unnest(reloptions) AS one WHERE one ~* '^autovacuum_enabled=(off|false|no|0)$')
UNION ALL SELECT 'dead', sum(n_dead_tup)::text FROM pg_stat_user_tables WHERE schemaname = $1
UNION ALL SELECT 'live', sum(n_live_tup)::text FROM pg_stat_user_tables WHERE schemaname = $1
UNION ALL SELECT 'size', sum(pg_total_relation_size(oid))::text FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind = 'r'
