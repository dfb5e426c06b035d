-- Record that runs began; return the places (from 1) of those whose lease does not hold.
CREATE FUNCTION celeriac.start(p_seq bigint[], p_id text[], p_token bigint[], p_owner text[], p_once boolean[])
RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    held bigint[];
    seqs bigint[];
BEGIN
    -- As in settle.sql, each row is looked up by its number and locked in that order.
    WITH locked AS MATERIALIZED (
        SELECT g.n, m.seq
        FROM unnest(p_seq, p_id, p_token, p_owner) WITH ORDINALITY AS g (seq, id, token, owner, n)
        CROSS JOIN LATERAL (
            SELECT h.seq FROM celeriac.message h
            WHERE h.seq = g.seq AND h.id = g.id AND h.token = g.token AND h.owner IS NOT DISTINCT FROM g.owner
            OFFSET 0 FOR UPDATE
        ) AS m
    )
    SELECT array_agg(n), array_agg(seq) INTO held, seqs FROM locked;
    UPDATE celeriac.message m
    SET started = true, once = m.once OR p_once[g.n], changed = CASE WHEN m.started THEN m.changed ELSE t END
    FROM unnest(held, seqs) AS g (n, seq)
    WHERE m.seq = ANY (seqs) AND m.seq = g.seq;
    RETURN ARRAY(SELECT n FROM generate_series(1, cardinality(p_seq)) AS g (n) WHERE n <> ALL (coalesce(held, '{}')));
END $$;
