-- Lease to an owner up to p_limit ready messages of these queues: the most urgent, and of these the oldest. The rows come
-- in no order. Where there is nothing to claim, nothing is written.
-- What is limited and locked stands in ARRAY(...), which is worked out once: a join might do it again for each row, and
-- find more than the limit.
CREATE FUNCTION celeriac.claim(p_queue text[], p_limit integer, p_owner text, p_lease double precision)
RETURNS TABLE (
    priority smallint, seq bigint, id text, token bigint, crashes integer, suspect boolean, revoked boolean,
    payload bytea
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    was_ended boolean;
    one text;
    name text;
BEGIN
    IF EXISTS (SELECT 1 FROM celeriac.message WHERE state IN (1, 2) AND due <= t) THEN
        PERFORM celeriac.promote(1000);
    END IF;
    FOREACH name IN ARRAY p_queue LOOP
        IF EXISTS (SELECT 1 FROM celeriac.message WHERE state = 0 AND queue = name) THEN
            one := name;
            EXIT;
        END IF;
    END LOOP;
    IF one IS NULL THEN
        RETURN;
    END IF;
    -- Who reclaims or extends locks the owner first, too: a lease ends before a claim or after it.
    SELECT ended INTO was_ended FROM celeriac.owner o WHERE o.name = p_owner FOR UPDATE;
    IF was_ended THEN
        -- What a limited reclaim left with this owner: it starts anew, and would not look after that.
        UPDATE celeriac.message SET owner = NULL WHERE state = 3 AND owner = p_owner;
    END IF;
    IF cardinality(p_queue) = 1 THEN
        RETURN QUERY
        UPDATE celeriac.message m SET state = 3, owner = p_owner, token = m.token + 1, changed = t
        WHERE m.seq = ANY (ARRAY(
            SELECT r.seq FROM celeriac.message r WHERE r.state = 0 AND r.queue = one
            ORDER BY r.priority DESC, r.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
        ))
        RETURNING m.priority, m.seq, m.id, m.token, m.crashes, m.suspect, m.revoked IS NOT NULL, m.payload;
    ELSE
        -- The first of each queue, and of these the first.
        RETURN QUERY
        UPDATE celeriac.message m SET state = 3, owner = p_owner, token = m.token + 1, changed = t
        WHERE m.seq = ANY (ARRAY(
            SELECT c.seq FROM unnest(p_queue) AS w (queue) CROSS JOIN LATERAL (
                SELECT r.seq, r.priority FROM celeriac.message r WHERE r.state = 0 AND r.queue = w.queue
                ORDER BY r.priority DESC, r.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
            ) AS c
            ORDER BY c.priority DESC, c.seq LIMIT p_limit
        ))
        RETURNING m.priority, m.seq, m.id, m.token, m.crashes, m.suspect, m.revoked IS NOT NULL, m.payload;
    END IF;
    IF NOT FOUND THEN
        -- All that is ready was locked by others a moment ago, and they may leave something. Who went to sleep now would
        -- not be woken for that. Only one message of one queue is waited for, so that nobody waits in a circle.
        FOREACH name IN ARRAY p_queue LOOP
            RETURN QUERY
            UPDATE celeriac.message m SET state = 3, owner = p_owner, token = m.token + 1, changed = t
            WHERE m.seq = ANY (ARRAY(
                SELECT r.seq FROM celeriac.message r WHERE r.state = 0 AND r.queue = name
                ORDER BY r.priority DESC, r.seq LIMIT 1 FOR UPDATE
            ))
            RETURNING m.priority, m.seq, m.id, m.token, m.crashes, m.suspect, m.revoked IS NOT NULL, m.payload;
            EXIT WHEN FOUND;
        END LOOP;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    INSERT INTO celeriac.owner AS o (name, expires) VALUES (p_owner, t + p_lease)
    ON CONFLICT ON CONSTRAINT owner_pkey DO UPDATE SET expires = excluded.expires, ended = false;
END $$;
