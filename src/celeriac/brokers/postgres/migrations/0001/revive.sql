-- Put dead letters back into their queues as if new, and forget how they ended; return the ids.
-- seq + 0: to be sorted, not found by the index of all rows in their order.
CREATE FUNCTION celeriac.revive(p_id text[]) RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    revived text[];
BEGIN
    SELECT array_agg(id) INTO revived FROM (
        SELECT id FROM celeriac.message WHERE id = ANY (p_id) AND state = 5 ORDER BY seq + 0 FOR UPDATE
    ) AS dead;
    IF revived IS NULL THEN
        RETURN '{}';
    END IF;
    DELETE FROM celeriac.result WHERE id = ANY (revived);
    UPDATE celeriac.message
    SET state = 0, due = NULL, crashes = 0, suspect = false, revoked = NULL, revoked_expires = NULL, reason = NULL,
        changed = celeriac.now()
    WHERE id = ANY (revived) AND state = 5;
    PERFORM celeriac.wake('work');
    RETURN revived;
END $$;
