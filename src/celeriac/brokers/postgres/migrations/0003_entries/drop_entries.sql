-- Drop schedule entries; return the names of those that were there.
CREATE FUNCTION celeriac.drop_entries(p_name text[]) RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    gone text[];
BEGIN
    WITH dropped AS (
        DELETE FROM celeriac.entry WHERE name = ANY (ARRAY(
            SELECT name FROM celeriac.entry WHERE name = ANY (p_name) ORDER BY name FOR UPDATE
        ))
        RETURNING name
    )
    SELECT array_agg(name) INTO gone FROM dropped;
    PERFORM celeriac.wake('result', true);
    RETURN coalesce(gone, '{}');
END $$;
