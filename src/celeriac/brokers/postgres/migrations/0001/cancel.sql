-- Cancel tasks: drop those that wait and store their results, mark those that run. Returns the ones that were found, and
-- who holds those that run. A dead letter is over; a person is meant to see it.
-- seq + 0: to be sorted, not found by the index of all rows in their order.
CREATE FUNCTION celeriac.cancel(p_id text[], p_over boolean[], p_expires double precision[], p_payload bytea[])
RETURNS TABLE (id text, held boolean, owner text) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    waiting text[];
    running text[];
    owners text[];
BEGIN
    SELECT array_agg(l.id) FILTER (WHERE l.state <> 3), array_agg(l.id) FILTER (WHERE l.state = 3),
        array_agg(l.owner) FILTER (WHERE l.state = 3)
    INTO waiting, running, owners
    FROM (
        SELECT m.id, m.state, m.owner FROM celeriac.message m WHERE m.id = ANY (p_id) AND m.state <> 5
        ORDER BY m.seq + 0 FOR UPDATE
    ) AS l;
    IF waiting IS NOT NULL THEN
        INSERT INTO celeriac.result AS r (id, over, expires, payload)
        SELECT g.id, g.over, g.expires, g.payload
        FROM unnest(p_id, p_over, p_expires, p_payload) AS g (id, over, expires, payload)
        WHERE g.id = ANY (waiting) ORDER BY g.id
        ON CONFLICT ON CONSTRAINT result_pkey
        DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload;
        DELETE FROM celeriac.message m WHERE m.id = ANY (waiting);
    END IF;
    IF running IS NOT NULL THEN
        UPDATE celeriac.message m SET revoked = g.payload, revoked_expires = g.expires
        FROM unnest(p_id, p_expires, p_payload) AS g (id, expires, payload)
        WHERE m.id = ANY (running) AND m.id = g.id AND m.state = 3 AND m.revoked IS NULL;
    END IF;
    IF waiting IS NOT NULL OR running IS NOT NULL THEN
        PERFORM celeriac.wake('work');
        PERFORM celeriac.wake('result');
    END IF;
    RETURN QUERY SELECT g.id, false, NULL::text FROM unnest(waiting) AS g (id);
    RETURN QUERY SELECT g.id, true, g.owner FROM unnest(running, owners) AS g (id, owner);
END $$;
