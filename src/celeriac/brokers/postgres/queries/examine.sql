-- Facts about the server and the schema: name and value. What may not be seen is NULL or counts as nothing.
SELECT 'version', current_setting('server_version_num')
UNION ALL SELECT 'fsync', current_setting('fsync')
UNION ALL SELECT 'full_page_writes', current_setting('full_page_writes')
UNION ALL SELECT 'synchronous_commit', current_setting('synchronous_commit')
UNION ALL SELECT 'read_only', current_setting('transaction_read_only')
UNION ALL SELECT 'encoding', current_setting('server_encoding')
UNION ALL SELECT 'isolation', current_setting('default_transaction_isolation')
UNION ALL SELECT 'autovacuum', current_setting('autovacuum')
UNION ALL SELECT 'max_connections', current_setting('max_connections')
UNION ALL SELECT 'connections', sum(numbackends)::text FROM pg_stat_database
UNION ALL SELECT 'oldest', max(extract(epoch FROM clock_timestamp() - xact_start))::text FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
UNION ALL SELECT 'dead', sum(n_dead_tup)::text FROM pg_stat_user_tables WHERE schemaname = $1
UNION ALL SELECT 'live', sum(n_live_tup)::text FROM pg_stat_user_tables WHERE schemaname = $1
UNION ALL SELECT 'size', sum(pg_total_relation_size(oid))::text FROM pg_class
    WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
