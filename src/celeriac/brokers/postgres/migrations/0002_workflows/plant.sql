-- Keep a workflow, or a part of one. j_*: joins. m_*: what waits for them, as keep.sql takes messages.
CREATE FUNCTION celeriac.plant(
    p_id text, p_keep double precision, p_record bytea, j_number bigint[], j_size integer[],
    m_number bigint[], m_seq integer[], m_delay double precision[],
    m_id text[], m_queue text[], m_task text[], m_priority smallint[], m_eta double precision[], m_payload bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO celeriac.workflow (id, created, keep, record) VALUES (p_id, celeriac.now(), p_keep, p_record)
    ON CONFLICT (id) DO NOTHING;
    INSERT INTO celeriac.workflow_join (workflow, number, size, remaining)
    SELECT p_id, number, size, size FROM unnest(j_number, j_size) AS g (number, size) ORDER BY number
    ON CONFLICT (workflow, number) DO NOTHING;
    IF m_id IS NOT NULL THEN
        INSERT INTO celeriac.workflow_message (workflow, number, seq, id, queue, task, priority, eta, delay, payload)
        SELECT p_id, number, seq, id, coalesce(queue, m_queue[1]), coalesce(task, m_task[1]),
            coalesce(priority, m_priority[1]), eta, delay, payload
        FROM unnest(m_number, m_seq, m_delay, m_id, m_queue, m_task, m_priority, m_eta, m_payload)
            AS g (number, seq, delay, id, queue, task, priority, eta, payload)
        ORDER BY number, seq
        ON CONFLICT (workflow, number, seq) DO NOTHING;
    END IF;
END $$;
