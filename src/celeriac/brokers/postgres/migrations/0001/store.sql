-- Keep results, each instead of an earlier one; of two for one id the later.
CREATE FUNCTION celeriac.store(p_id text[], p_over boolean[], p_expires double precision[], p_payload bytea[])
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO celeriac.result AS r (id, over, expires, payload)
    SELECT DISTINCT ON (id) id, over, expires, payload
    FROM unnest(p_id, p_over, p_expires, p_payload) WITH ORDINALITY AS g (id, over, expires, payload, n)
    ORDER BY id, n DESC
    ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload;
    PERFORM celeriac.wake('result');
END $$;
