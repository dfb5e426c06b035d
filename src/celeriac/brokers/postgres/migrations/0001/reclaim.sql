-- Free up to p_limit messages that p_owner holds, or, where that is NULL, that are held without a lease. What must not
-- simply run again is leased to p_by: what was revoked, runs at most once and had begun, or has crashed p_crash_limit
-- times (0: no limit). g_seq, g_token: runs that are known to have begun; without an owner, all that were told of have.
-- p_before: the time after which nothing is freed where p_owner is NULL; NULL for never. The rows come in no order. One
-- without a seq names an owner whose lease was ended; one with neither tells the time.
-- seq + 0: to be sorted, not found by the index of all rows in their order.
CREATE FUNCTION celeriac.reclaim(
    p_by text, p_limit integer, p_crash_limit integer, p_owner text, p_verdict_lease double precision,
    g_seq bigint[], g_token bigint[], p_before double precision
) RETURNS TABLE (
    seq bigint, id text, verdict boolean, token bigint, crashes integer, revoked boolean, payload bytea,
    at double precision
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    freed integer;
BEGIN
    RETURN QUERY SELECT
        NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::integer, NULL::boolean, NULL::bytea, t;
    IF p_owner IS NULL AND (
        p_before < t
        OR NOT EXISTS (SELECT 1 FROM celeriac.owner WHERE NOT ended AND expires <= t)
        AND NOT EXISTS (
            SELECT 1 FROM celeriac.message m WHERE m.state = 3
                AND NOT EXISTS (SELECT 1 FROM celeriac.owner o WHERE o.name = m.owner AND o.expires > t)
        )
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE celeriac.owner o SET ended = true, expires = least(o.expires, t)
    FROM (
        SELECT l.name FROM celeriac.owner l
        WHERE NOT l.ended AND CASE WHEN p_owner IS NULL THEN l.expires <= t ELSE l.name = p_owner END
        ORDER BY l.name FOR UPDATE
    ) AS e
    WHERE o.name = e.name
    RETURNING NULL::bigint, o.name, NULL::boolean, NULL::bigint, NULL::integer, NULL::boolean, NULL::bytea,
        NULL::double precision;
    -- What is being settled this moment is skipped: it is over then, or found by the next call.
    RETURN QUERY
    WITH c AS MATERIALIZED (
        SELECT h.seq, h.once, h.revoked IS NOT NULL AS revoked,
            h.crashes + CASE
                WHEN p_owner IS NULL AND h.started THEN 1
                WHEN EXISTS (
                    SELECT 1 FROM unnest(g_seq, g_token) AS g (seq, token) WHERE g.seq = h.seq AND g.token = h.token
                ) THEN 1
                ELSE 0
            END AS crashes
        FROM celeriac.message h
        WHERE h.state = 3 AND CASE
            WHEN p_owner IS NOT NULL THEN h.owner = p_owner
            ELSE NOT EXISTS (SELECT 1 FROM celeriac.owner o WHERE o.name = h.owner AND o.expires > t)
        END
        ORDER BY h.seq + 0 LIMIT p_limit FOR UPDATE OF h SKIP LOCKED
    ), f AS MATERIALIZED (
        SELECT c.seq, c.crashes, c.revoked OR c.once OR (p_crash_limit > 0 AND c.crashes >= p_crash_limit) AS verdict
        FROM c
    )
    UPDATE celeriac.message m
    SET state = CASE WHEN f.verdict THEN 3 ELSE 0 END,
        owner = CASE WHEN f.verdict THEN p_by END,
        once = f.verdict AND m.once,
        started = false,
        crashes = f.crashes,
        token = m.token + 1,
        suspect = true,
        changed = t
    FROM f
    WHERE m.seq = ANY (ARRAY(SELECT seq FROM f)) AND m.seq = f.seq
    RETURNING m.seq, m.id, f.verdict, m.token, m.crashes, m.revoked IS NOT NULL, m.payload,
        NULL::double precision;
    GET DIAGNOSTICS freed = ROW_COUNT;
    IF freed > 0 THEN
        IF EXISTS (SELECT 1 FROM celeriac.message WHERE state = 3 AND owner = p_by) THEN
            INSERT INTO celeriac.owner AS o (name, expires) VALUES (p_by, t + p_verdict_lease)
            ON CONFLICT ON CONSTRAINT owner_pkey DO UPDATE SET expires = excluded.expires WHERE o.expires <= t;
        END IF;
        PERFORM celeriac.wake('work');
    END IF;
END $$;
