-- The tables, indexes, sequences and functions of the schema.
SELECT 'table', relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')
UNION ALL
SELECT 'index', relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'i'
UNION ALL
SELECT 'sequence', relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'S'
UNION ALL
SELECT 'function', proname::text FROM pg_proc WHERE pronamespace = to_regnamespace($1)
