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
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    size integer := cardinality(p_seq);
    all_hold boolean;
    held bigint[];  -- Places of settlements that take effect, and the tasks that these are of.
    tasks text[];
    revoked bigint[];  -- Places of those that a revocation overrules, and the rest of what their messages had.
    revoked_task text[];
    revoked_id text[];
    revoked_result bytea[];
    revoked_until double precision[];
    more bigint[];
    more_tasks text[];
    follows boolean := false;
    kept boolean := false;
BEGIN
    IF f_n IS NOT NULL THEN
        -- What follows is kept before the messages go: one that has the id of its own predecessor is dropped.
        SELECT array_agg(n) INTO held FROM (
            SELECT g.n FROM unnest(p_seq, p_id, p_token, p_owner, p_yields) WITH ORDINALITY
                AS g (seq, id, token, owner, yields, n)
            JOIN celeriac.message m ON m.seq = g.seq
            WHERE m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
                AND NOT (coalesce(g.yields, false) AND m.revoked IS NOT NULL)
            ORDER BY m.seq FOR UPDATE OF m
        ) AS locked;
        PERFORM celeriac.keep(
            array_agg(id ORDER BY k), array_agg(queue ORDER BY k), array_agg(task ORDER BY k),
            array_agg(priority ORDER BY k), array_agg(eta ORDER BY k), array_agg(payload ORDER BY k)
        )
        FROM unnest(f_n, f_id, f_queue, f_task, f_priority, f_eta, f_payload) WITH ORDINALITY
            AS f (n, id, queue, task, priority, eta, payload, k)
        WHERE n = ANY (held)
        HAVING count(*) > 0;
        follows := FOUND;
        held := NULL;
    END IF;
    IF p_state IS NULL THEN
        WITH gone AS (
            DELETE FROM celeriac.message m
            USING unnest(p_seq, p_id, p_token, p_owner) WITH ORDINALITY AS g (seq, id, token, owner, n)
            WHERE m.seq = g.seq AND m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
            RETURNING g.n, m.task
        )
        SELECT array_agg(n), array_agg(task) INTO held, tasks FROM gone;
    ELSE
        WITH gone AS (
            DELETE FROM celeriac.message m
            USING unnest(p_seq, p_id, p_token, p_owner, p_state) WITH ORDINALITY
                AS g (seq, id, token, owner, state, n)
            WHERE m.seq = g.seq AND m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
                AND g.state IS NULL
            RETURNING g.n, m.task
        )
        SELECT array_agg(n), array_agg(task) INTO held, tasks FROM gone;
        WITH gone AS (
            DELETE FROM celeriac.message m
            USING unnest(p_seq, p_id, p_token, p_owner, p_yields) WITH ORDINALITY
                AS g (seq, id, token, owner, yields, n)
            WHERE m.seq = g.seq AND m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
                AND g.yields AND m.revoked IS NOT NULL
            RETURNING g.n, m.task, m.id, m.revoked, m.revoked_expires
        )
        SELECT array_agg(n), array_agg(task), array_agg(id), array_agg(gone.revoked), array_agg(revoked_expires)
        INTO revoked, revoked_task, revoked_id, revoked_result, revoked_until FROM gone;
        WITH changed AS (
            UPDATE celeriac.message m
            SET state = g.state,
                due = CASE WHEN g.state IN (1, 2) THEN coalesce(g.due, t) WHEN g.state = 5 THEN t END,
                queue = coalesce(g.queue, m.queue),
                priority = coalesce(g.priority, m.priority),
                task = coalesce(g.task, m.task),
                payload = coalesce(g.payload, m.payload),
                crashes = m.crashes + CASE WHEN g.crashed THEN 1 ELSE 0 END,
                suspect = m.suspect OR coalesce(g.crashed, false),
                started = false,
                once = false,
                owner = NULL,
                reason = g.reason,
                changed = t
            FROM unnest(
                p_seq, p_id, p_token, p_owner, p_state, p_due, p_queue, p_priority, p_task, p_payload, p_crashed,
                p_reason
            ) WITH ORDINALITY
                AS g (seq, id, token, owner, state, due, queue, priority, task, payload, crashed, reason, n)
            WHERE m.seq = g.seq AND m.id = g.id AND m.token = g.token AND m.owner IS NOT DISTINCT FROM g.owner
                AND g.state IS NOT NULL
            RETURNING g.n, m.task
        )
        SELECT array_agg(n), array_agg(task) INTO more, more_tasks FROM changed;
        kept := more IS NOT NULL;
        held := held || more;
        tasks := tasks || more_tasks;
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
