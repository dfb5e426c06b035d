-- Set these owners' leases; return the owners whose lease a reclaim had ended.
CREATE FUNCTION celeriac.extend(p_name text[], p_lease double precision)
RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    gone text[];
BEGIN
    SELECT array_agg(name) INTO gone FROM (
        SELECT name, ended FROM celeriac.owner WHERE name = ANY (p_name) ORDER BY name FOR UPDATE
    ) AS known
    WHERE ended;
    IF gone IS NOT NULL THEN
        -- They are told that they have lost everything, so nobody would look after what a limited reclaim left.
        UPDATE celeriac.message SET owner = NULL WHERE state = 3 AND owner = ANY (gone);
    END IF;
    INSERT INTO celeriac.owner AS o (name, expires)
    SELECT g.name, celeriac.now() + p_lease FROM (SELECT DISTINCT unnest(p_name)) AS g (name) ORDER BY g.name
    ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, ended = false;
    RETURN coalesce(gone, '{}');
END $$;
