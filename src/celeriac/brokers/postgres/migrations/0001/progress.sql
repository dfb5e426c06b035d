-- Keep interim results, except where a task is over already; return the ids of these.
CREATE FUNCTION celeriac.progress(p_id text[], p_over boolean[], p_expires double precision[], p_payload bytea[])
RETURNS text[] LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    kept text[];
BEGIN
    WITH written AS (
        INSERT INTO celeriac.result AS r (id, over, expires, payload)
        SELECT DISTINCT ON (id) id, over, expires, payload
        FROM unnest(p_id, p_over, p_expires, p_payload) WITH ORDINALITY AS g (id, over, expires, payload, n)
        ORDER BY id, n DESC
        ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload
        WHERE NOT r.over OR r.expires <= celeriac.now()
        RETURNING r.id
    )
    SELECT array_agg(id) INTO kept FROM written;
    PERFORM celeriac.wake('result');
    RETURN ARRAY(SELECT id FROM unnest(p_id) AS g (id) WHERE id <> ALL (coalesce(kept, '{}')));
END $$;
