-- Put outcomes of steps into their slots, and make ready what waits for joins that are closed by that.
CREATE FUNCTION celeriac.arrive(
    p_workflow text[], p_number bigint[], p_slot integer[], p_failed boolean[], p_result bytea[], p_message bytea[]
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    closed_workflow text[];
    closed_number bigint[];
    over text[];
BEGIN
    PERFORM 1 FROM celeriac.workflow_join j
    WHERE (j.workflow, j.number) IN (SELECT workflow, number FROM unnest(p_workflow, p_number) AS g (workflow, number))
    ORDER BY j.workflow, j.number FOR UPDATE;
    -- The root is closed by the last arrival, any other also by the first failure; core/workflow.py has the same rule.
    WITH given AS (
        SELECT * FROM unnest(p_workflow, p_number, p_slot, p_failed, p_result, p_message)
            AS g (workflow, number, slot, failed, result, message)
    ), inserted AS (
        INSERT INTO celeriac.workflow_slot AS s (workflow, number, slot, failed, result, message)
        SELECT g.workflow, g.number, g.slot, g.failed, g.result, g.message
        FROM given g JOIN celeriac.workflow_join j USING (workflow, number)
        ON CONFLICT (workflow, number, slot) DO NOTHING
        RETURNING workflow, number, slot, failed
    ), counted AS (
        SELECT workflow, number, count(*) AS many, min(slot) FILTER (WHERE failed) AS first
        FROM inserted GROUP BY workflow, number
    ), before AS (
        SELECT j.workflow, j.number, j.closed FROM celeriac.workflow_join j JOIN counted USING (workflow, number)
    ), changed AS (
        UPDATE celeriac.workflow_join j
        SET remaining = j.remaining - c.many,
            failed = coalesce(j.failed, c.first),
            closed = j.closed OR j.remaining - c.many <= 0
                OR (j.number <> 0 AND coalesce(j.failed, c.first) IS NOT NULL)
        FROM counted c WHERE j.workflow = c.workflow AND j.number = c.number
        RETURNING j.workflow, j.number, j.closed
    )
    SELECT array_agg(c.workflow) FILTER (WHERE c.number <> 0), array_agg(c.number) FILTER (WHERE c.number <> 0),
        array_agg(c.workflow) FILTER (WHERE c.number = 0)
    INTO closed_workflow, closed_number, over
    FROM changed c JOIN before b USING (workflow, number) WHERE c.closed AND NOT b.closed;
    IF over IS NOT NULL THEN
        UPDATE celeriac.workflow SET ended = t, expires = t + keep WHERE id = ANY (over);
    END IF;
    IF closed_number IS NULL THEN
        RETURN;
    END IF;
    PERFORM celeriac.keep(
        array_agg(m.id ORDER BY k, m.seq), array_agg(m.queue ORDER BY k, m.seq), array_agg(m.task ORDER BY k, m.seq),
        array_agg(m.priority ORDER BY k, m.seq),
        array_agg(CASE WHEN m.delay IS NULL THEN m.eta ELSE t + m.delay END ORDER BY k, m.seq),
        array_agg(m.payload ORDER BY k, m.seq)
    )
    FROM unnest(closed_workflow, closed_number) WITH ORDINALITY AS g (workflow, number, k)
    JOIN celeriac.workflow_message m ON m.workflow = g.workflow AND m.number = g.number
    HAVING count(*) > 0;
    IF FOUND THEN
        PERFORM celeriac.wake('work');
    END IF;
END $$;
