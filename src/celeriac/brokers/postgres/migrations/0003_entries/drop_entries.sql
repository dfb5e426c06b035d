-- Drop schedule entries; return the names of those that were there.
CREATE FUNCTION celeriac.drop_entries(p_name text[]) RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    gone text[];
BEGIN
    WITH locked AS (
        SELECT name FROM celeriac.entry WHERE name = ANY (p_name) ORDER BY name FOR UPDATE
    ), dropped AS (
        DELETE FROM celeriac.entry e USING locked l WHERE e.name = l.name RETURNING e.name
    )
    SELECT array_agg(name) INTO gone FROM dropped;
    PERFORM celeriac.wake('result', true);
    RETURN coalesce(gone, '{}');
END $$;
