-- Keep messages as keep does, which it calls if an id is known already. Ids of runs hardly ever are, and an INSERT that
-- need not ask costs half. In the order of the ids, which is that of the due times, and then that of the queue.
CREATE FUNCTION celeriac.keep_new(
    p_id text[], p_queue text[], p_task text[], p_priority smallint[], p_eta double precision[], p_payload bytea[]
) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
BEGIN
    INSERT INTO celeriac.message (seq, id, queue, task, priority, state, due, changed, payload)
    SELECT nextval('celeriac.message_seq_seq'), id, coalesce(queue, p_queue[1]), coalesce(task, p_task[1]),
        coalesce(priority, p_priority[1]), CASE WHEN eta > t THEN 1 ELSE 0 END, CASE WHEN eta > t THEN eta END, t, payload
    FROM (
        SELECT * FROM unnest(p_id, p_queue, p_task, p_priority, p_eta, p_payload)
            AS g (id, queue, task, priority, eta, payload)
        ORDER BY id
    ) AS sorted;
EXCEPTION WHEN unique_violation THEN
    PERFORM celeriac.keep(p_id, p_queue, p_task, p_priority, p_eta, p_payload);
END $$;
