-- Make ready up to p_limit messages that are due, those that waited longest first. Returns how many, and the seconds
-- until the next is due (NULL: none waits).
CREATE FUNCTION celeriac.promote(p_limit integer, OUT o_count integer, OUT o_next double precision)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
BEGIN
    o_count := 0;
    SELECT due - t INTO o_next FROM celeriac.message WHERE state IN (1, 2) ORDER BY due LIMIT 1;
    IF o_next <= 0 THEN
        UPDATE celeriac.message m SET state = 0, due = NULL, changed = t
        WHERE m.seq = ANY (ARRAY(
            SELECT w.seq FROM celeriac.message w WHERE w.state IN (1, 2) AND w.due <= t
            ORDER BY w.due, w.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
        ));
        GET DIAGNOSTICS o_count = ROW_COUNT;
        IF o_count > 0 THEN
            PERFORM celeriac.wake('work');
        END IF;
        SELECT due - t INTO o_next FROM celeriac.message WHERE state IN (1, 2) ORDER BY due LIMIT 1;
    END IF;
END $$;
