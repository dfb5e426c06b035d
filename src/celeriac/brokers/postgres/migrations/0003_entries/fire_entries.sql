-- Enqueue what schedule entries send and advance them, if they are of the edition and due at the time that was seen;
-- return the places (from 1) of the others. p_next: when they are due next.
-- m_*: messages; n: the place of the entry that sends it.
CREATE FUNCTION celeriac.fire_entries(
    p_name text[], p_edition bigint[], p_due double precision[], p_next double precision[], p_state bytea[],
    m_n integer[], m_id text[], m_queue text[], m_task text[], m_priority smallint[], m_eta double precision[],
    m_payload bytea[]
) RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    size integer := cardinality(p_name);
    held integer[];
    all_hold boolean;
BEGIN
    -- In the order of the names, which is the order given: of two who fire the same one waits, and then finds that it is
    -- too late.
    WITH fired AS (
        UPDATE celeriac.entry e SET due = g.next, state = g.state
        FROM unnest(p_name, p_edition, p_due, p_next, p_state) WITH ORDINALITY AS g (name, edition, due, next, state, n)
        WHERE e.name = g.name AND e.edition = g.edition AND e.due IS NOT DISTINCT FROM g.due
        RETURNING g.n::integer AS n
    )
    SELECT array_agg(n) INTO held FROM fired;
    all_hold := coalesce(cardinality(held), 0) = size;
    IF held IS NULL THEN
        RETURN ARRAY(SELECT n FROM generate_series(1, size) AS g (n));
    END IF;
    -- Nobody waits for the disk: what a crash takes, it takes whole, and the entries are due again. Whoever claims such a
    -- message waits for the disk to have that, and so this before it. An entry that stays due at its time, or never
    -- was, would not be fired again.
    IF NOT EXISTS (
        SELECT 1 FROM unnest(p_due, p_next) AS g (due, next) WHERE due IS NULL OR next IS NOT DISTINCT FROM due
    ) THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    IF m_n IS NOT NULL THEN
        IF all_hold THEN
            PERFORM celeriac.keep(m_id, m_queue, m_task, m_priority, m_eta, m_payload);
        ELSE
            PERFORM celeriac.keep(
                array_agg(id ORDER BY k), array_agg(coalesce(queue, m_queue[1]) ORDER BY k),
                array_agg(coalesce(task, m_task[1]) ORDER BY k), array_agg(coalesce(priority, m_priority[1]) ORDER BY k),
                array_agg(eta ORDER BY k), array_agg(payload ORDER BY k)
            )
            FROM unnest(m_n, m_id, m_queue, m_task, m_priority, m_eta, m_payload) WITH ORDINALITY
                AS f (n, id, queue, task, priority, eta, payload, k)
            WHERE n = ANY (held)
            HAVING count(*) > 0;
        END IF;
        PERFORM celeriac.wake('work');
    END IF;
    IF all_hold THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT n FROM generate_series(1, size) AS g (n) WHERE n <> ALL (held));
END $$;
