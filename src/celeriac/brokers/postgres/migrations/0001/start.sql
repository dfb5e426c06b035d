-- Record that runs began; return the places (from 1) of those whose lease does not hold.
CREATE FUNCTION celeriac.start(p_seq bigint[], p_id text[], p_token bigint[], p_owner text[], p_once boolean[])
RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    held bigint[];
BEGIN
    WITH begun AS (
        UPDATE celeriac.message m
        SET started = true, once = m.once OR g.once, changed = CASE WHEN m.started THEN m.changed ELSE t END
        FROM unnest(p_seq, p_id, p_token, p_owner, p_once) WITH ORDINALITY AS g (seq, id, token, owner, once, n)
        WHERE m.seq = g.seq AND m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
        RETURNING g.n
    )
    SELECT array_agg(n) INTO held FROM begun;
    RETURN ARRAY(SELECT n FROM generate_series(1, cardinality(p_seq)) AS g (n) WHERE n <> ALL (coalesce(held, '{}')));
END $$;
