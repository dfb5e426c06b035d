-- Is Celeriac's schema there? Not by to_regclass, which may remember a time when it was not.
SELECT EXISTS (
    SELECT 1 FROM pg_class WHERE relname = 'schema_version'
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
)
