-- What the user may not do and needs to: the right, on what kind, of which name. Asking needs no right itself.
WITH space AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = $1)
SELECT 'CREATE', 'DATABASE', current_database()::text
    WHERE NOT EXISTS (SELECT 1 FROM space) AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT 'USAGE', 'SCHEMA', nspname::text FROM space WHERE NOT has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT needed, 'TABLE', relname::text
    FROM pg_class CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
    WHERE relnamespace = (SELECT oid FROM space) AND relkind IN ('r', 'p')
        AND (relname <> 'schema_version' OR needed = 'SELECT') AND NOT has_table_privilege(oid, needed)
UNION ALL
SELECT needed, 'SEQUENCE', relname::text
    FROM pg_class CROSS JOIN unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) AS needed
    WHERE relnamespace = (SELECT oid FROM space) AND relkind = 'S' AND NOT has_sequence_privilege(oid, needed)
UNION ALL
SELECT 'EXECUTE', 'FUNCTION', proname::text FROM pg_proc
    WHERE pronamespace = (SELECT oid FROM space) AND NOT has_function_privilege(oid, 'EXECUTE')
