-- Keep messages whose ids are not known yet; return the places (from 1) of the others. Part of enqueue and settle.
-- A list of one queue, task or priority stands for all of them; a missing eta is none.
-- The order of the places is the order of the queue. Rows are inserted in the order of their ids, so that two who send
-- the same ids wait for each other and never in a circle.
CREATE FUNCTION celeriac.keep(
    p_id text[], p_queue text[], p_task text[], p_priority smallint[], p_eta double precision[], p_payload bytea[]
) RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    seqs bigint[] := ARRAY(SELECT nextval('celeriac.message_seq_seq') FROM generate_series(1, cardinality(p_id)));
    count integer;
BEGIN
    IF cardinality(p_id) > 1 THEN
        -- Hardly ever is one known. To find that out by an error costs a fifth less than asking at each row.
        BEGIN
            INSERT INTO celeriac.message (seq, id, queue, task, priority, state, due, changed, payload)
            SELECT seq, id, coalesce(queue, p_queue[1]), coalesce(task, p_task[1]), coalesce(priority, p_priority[1]),
                CASE WHEN eta > t THEN 1 ELSE 0 END, CASE WHEN eta > t THEN eta END, t, payload
            FROM unnest(seqs, p_id, p_queue, p_task, p_priority, p_eta, p_payload)
                AS g (seq, id, queue, task, priority, eta, payload)
            ORDER BY id, seq;
            RETURN '{}';
        EXCEPTION WHEN unique_violation THEN NULL;
        END;
    END IF;
    INSERT INTO celeriac.message (seq, id, queue, task, priority, state, due, changed, payload)
    SELECT seq, id, coalesce(queue, p_queue[1]), coalesce(task, p_task[1]), coalesce(priority, p_priority[1]),
        CASE WHEN eta > t THEN 1 ELSE 0 END, CASE WHEN eta > t THEN eta END, t, payload
    FROM unnest(seqs, p_id, p_queue, p_task, p_priority, p_eta, p_payload)
        AS g (seq, id, queue, task, priority, eta, payload)
    ORDER BY id, seq
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS count = ROW_COUNT;
    IF count = cardinality(p_id) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(
        SELECT n::integer FROM unnest(seqs) WITH ORDINALITY AS g (seq, n)
        WHERE NOT EXISTS (SELECT 1 FROM celeriac.message m WHERE m.seq = g.seq)
        ORDER BY n
    );
END $$;
