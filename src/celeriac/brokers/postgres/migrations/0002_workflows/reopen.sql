-- Empty slots in which failures lie, and open what these had closed; return how many were emptied. m_*: messages to keep.
CREATE FUNCTION celeriac.reopen(
    p_workflow text, p_number bigint[], p_slot integer[],
    m_id text[], m_queue text[], m_task text[], m_priority smallint[], m_eta double precision[], m_payload bytea[]
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    went integer;
BEGIN
    PERFORM 1 FROM celeriac.workflow_join j WHERE j.workflow = p_workflow AND j.number = ANY (p_number)
    ORDER BY j.number FOR UPDATE;
    WITH gone AS (
        DELETE FROM celeriac.workflow_slot s USING unnest(p_number, p_slot) AS g (number, slot)
        WHERE s.workflow = p_workflow AND s.number = g.number AND s.slot = g.slot AND s.failed
        RETURNING s.number
    )
    SELECT count(*) INTO went FROM gone;
    UPDATE celeriac.workflow_join j
    SET remaining = j.size - s.filled, failed = s.first, closed = j.number <> 0 AND s.first IS NOT NULL
    FROM (
        SELECT g.number, count(k.slot) AS filled, min(k.slot) FILTER (WHERE k.failed) AS first
        FROM (SELECT DISTINCT unnest(p_number) AS number) AS g
        LEFT JOIN celeriac.workflow_slot k ON k.workflow = p_workflow AND k.number = g.number
        GROUP BY g.number
    ) AS s
    WHERE j.workflow = p_workflow AND j.number = s.number AND j.remaining < j.size - s.filled;
    UPDATE celeriac.workflow SET ended = NULL, expires = NULL
    WHERE id = p_workflow AND EXISTS (
        SELECT 1 FROM celeriac.workflow_join j WHERE j.workflow = p_workflow AND j.number = 0 AND NOT j.closed
    );
    IF m_id IS NOT NULL THEN
        PERFORM celeriac.enqueue(m_id, m_queue, m_task, m_priority, m_eta, m_payload);
    END IF;
    RETURN went;
END $$;
