-- Keep messages whose ids are not known yet; return the places (from 1) of the others. Part of enqueue and settle.
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
    kept bigint[];
    seqs bigint[];
BEGIN
    seqs := ARRAY(SELECT nextval('celeriac.message_seq_seq') FROM generate_series(1, cardinality(p_id)));
    WITH given AS (
        SELECT * FROM unnest(seqs, p_id, p_queue, p_task, p_priority, p_eta, p_payload)
            AS g (seq, id, queue, task, priority, eta, payload)
    ), inserted AS (
        INSERT INTO celeriac.message AS m (seq, id, queue, task, priority, state, due, changed, payload)
        SELECT seq, id, queue, task, priority, CASE WHEN eta > t THEN 1 ELSE 0 END, CASE WHEN eta > t THEN eta END, t,
            payload
        FROM given ORDER BY id, seq
        ON CONFLICT (id) DO NOTHING
        RETURNING seq
    )
    SELECT array_agg(seq) INTO kept FROM inserted;
    IF cardinality(kept) = cardinality(p_id) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(
        SELECT n::integer FROM unnest(seqs) WITH ORDINALITY AS g (seq, n) WHERE seq <> ALL (coalesce(kept, '{}'))
        ORDER BY n
    );
END $$;
