-- Is there a schema of this name?
SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)
