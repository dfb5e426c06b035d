-- Carry out settlements whose lease holds; return the places (from 1) of the others.
-- p_*: the settlements; state NULL: the message is over, otherwise the state it stays here with. yields: a revocation
-- overrules it. Lists that are NULL are so for all.
-- IS NOT DISTINCT FROM keeps the index of owners out of it, each of whom may hold much: rows are found by their numbers.
-- r_*: results, f_*: messages that follow; n: the place of the settlement that they belong to.
CREATE FUNCTION celeriac.settle(
    p_seq bigint[], p_id text[], p_token bigint[], p_owner text[], p_tally text[],
    p_state smallint[], p_yields boolean[], p_due double precision[], p_queue text[], p_priority smallint[],
    p_task text[], p_payload bytea[], p_crashed boolean[], p_reason text[],
    r_n integer[], r_id text[], r_over boolean[], r_expires double precision[], r_payload bytea[],
    f_n integer[], f_id text[], f_queue text[], f_task text[], f_priority smallint[], f_eta double precision[],
    f_payload bytea[]
) RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    size integer := cardinality(p_seq);
    all_hold boolean;
    held bigint[];  -- Places of settlements that take effect, the numbers of their messages, and the tasks of these.
    seqs bigint[];
    tasks text[];
    revoked bigint[];  -- The same of those that a revocation overrules, and what their messages had.
    revoked_seq bigint[];
    revoked_task text[];
    revoked_id text[];
    revoked_result bytea[];
    revoked_until double precision[];
    follows boolean := false;
    kept boolean := false;
BEGIN
    -- Lock what the leases are on, in the order of the rows. The lateral part is looked up for each lease, whatever the
    -- planner believes of the size of the table: it may have been empty when that was last counted.
    WITH locked AS MATERIALIZED (
        SELECT g.n, m.*, coalesce(p_yields[g.n], false) AND m.result IS NOT NULL AS overruled
        FROM unnest(p_seq, p_id, p_token, p_owner) WITH ORDINALITY AS g (seq, id, token, owner, n)
        CROSS JOIN LATERAL (
            SELECT h.seq, h.id, h.task, h.revoked AS result, h.revoked_expires AS until
            FROM celeriac.message h
            WHERE h.seq = g.seq AND h.id = g.id AND h.token = g.token AND h.owner IS NOT DISTINCT FROM g.owner
            OFFSET 0 FOR UPDATE
        ) AS m
    )
    SELECT array_agg(n) FILTER (WHERE NOT overruled), array_agg(seq) FILTER (WHERE NOT overruled),
        array_agg(task) FILTER (WHERE NOT overruled), array_agg(n) FILTER (WHERE overruled),
        array_agg(seq) FILTER (WHERE overruled), array_agg(task) FILTER (WHERE overruled),
        array_agg(id) FILTER (WHERE overruled), array_agg(result) FILTER (WHERE overruled),
        array_agg(until) FILTER (WHERE overruled)
    INTO held, seqs, tasks, revoked, revoked_seq, revoked_task, revoked_id, revoked_result, revoked_until
    FROM locked;
    IF f_n IS NOT NULL THEN
        -- What follows is kept before the messages go: one that has the id of its own predecessor is dropped.
        PERFORM celeriac.keep(
            array_agg(id ORDER BY k), array_agg(coalesce(queue, f_queue[1]) ORDER BY k),
            array_agg(coalesce(task, f_task[1]) ORDER BY k), array_agg(coalesce(priority, f_priority[1]) ORDER BY k),
            array_agg(eta ORDER BY k), array_agg(payload ORDER BY k)
        )
        FROM unnest(f_n, f_id, f_queue, f_task, f_priority, f_eta, f_payload) WITH ORDINALITY
            AS f (n, id, queue, task, priority, eta, payload, k)
        WHERE n = ANY (held)
        HAVING count(*) > 0;
        follows := FOUND;
    END IF;
    IF p_state IS NULL THEN
        DELETE FROM celeriac.message WHERE seq = ANY (seqs);
    ELSE
        DELETE FROM celeriac.message WHERE seq = ANY (ARRAY(
            SELECT seq FROM unnest(held, seqs) AS g (n, seq) WHERE p_state[n] IS NULL
        ));
        DELETE FROM celeriac.message WHERE seq = ANY (revoked_seq);
        UPDATE celeriac.message m
        SET state = p_state[g.n],
            due = CASE WHEN p_state[g.n] IN (1, 2) THEN coalesce(p_due[g.n], t) WHEN p_state[g.n] = 5 THEN t END,
            queue = coalesce(p_queue[g.n], m.queue),
            priority = coalesce(p_priority[g.n], m.priority),
            task = coalesce(p_task[g.n], m.task),
            payload = coalesce(p_payload[g.n], m.payload),
            crashes = m.crashes + CASE WHEN p_crashed[g.n] THEN 1 ELSE 0 END,
            suspect = m.suspect OR coalesce(p_crashed[g.n], false),
            started = false,
            once = false,
            owner = NULL,
            reason = p_reason[g.n],
            changed = t
        FROM unnest(held, seqs) AS g (n, seq)
        WHERE m.seq = ANY (seqs) AND m.seq = g.seq AND p_state[g.n] IS NOT NULL;
        kept := FOUND;
    END IF;
    all_hold := coalesce(cardinality(held), 0) = size;
    IF r_n IS NOT NULL AND held IS NOT NULL THEN
        INSERT INTO celeriac.result AS r (id, over, expires, payload)
        SELECT DISTINCT ON (id) id, over, expires, payload
        FROM unnest(r_n, r_id, r_over, r_expires, r_payload) AS g (n, id, over, expires, payload)
        WHERE all_hold OR n = ANY (held)
        ORDER BY id, n DESC
        ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload;
    END IF;
    IF revoked IS NOT NULL THEN
        INSERT INTO celeriac.result AS r (id, over, expires, payload)
        SELECT id, true, expires, payload FROM unnest(revoked_id, revoked_until, revoked_result) AS g (id, expires, payload)
        ORDER BY id
        ON CONFLICT (id) DO UPDATE SET over = excluded.over, expires = excluded.expires, payload = excluded.payload;
    END IF;
    INSERT INTO celeriac.tally AS k (task, state, slot, count)
    SELECT task, state, pg_backend_pid() % 32, count(*) FROM (
        SELECT task, p_tally[n] AS state FROM unnest(held, tasks) AS g (n, task)
        UNION ALL
        SELECT task, 'REVOKED' FROM unnest(revoked_task) AS g (task)
    ) AS one
    WHERE state IS NOT NULL GROUP BY task, state ORDER BY task, state
    ON CONFLICT (task, state, slot) DO UPDATE SET count = k.count + excluded.count;
    IF kept OR follows OR revoked IS NOT NULL THEN
        PERFORM celeriac.wake('work');
    END IF;
    IF (r_n IS NOT NULL AND held IS NOT NULL) OR revoked IS NOT NULL THEN
        PERFORM celeriac.wake('result');
    END IF;
    IF all_hold THEN
        RETURN '{}';
    END IF;
    held := held || revoked;
    RETURN ARRAY(SELECT n FROM generate_series(1, size) AS g (n) WHERE n <> ALL (coalesce(held, '{}')));
END $$;
