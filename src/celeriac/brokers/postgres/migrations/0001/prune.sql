-- Forget up to p_limit each of what has expired, and, unless p_age is NULL, dead letters older than p_age seconds.
-- Owners that are to be told that their lease was ended are kept for p_memory seconds more. Returns how many went.
CREATE FUNCTION celeriac.prune(p_age double precision, p_limit integer, p_memory double precision)
RETURNS integer LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
    total integer := 0;
    went integer;
BEGIN
    DELETE FROM celeriac.result WHERE id = ANY (ARRAY(
        SELECT id FROM celeriac.result WHERE expires IS NOT NULL AND expires <= t ORDER BY expires LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    DELETE FROM celeriac.command WHERE seq = ANY (ARRAY(
        SELECT seq FROM celeriac.command WHERE expires <= t ORDER BY seq LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    DELETE FROM celeriac.reply WHERE seq = ANY (ARRAY(
        SELECT seq FROM celeriac.reply WHERE expires <= t ORDER BY expires LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    DELETE FROM celeriac.worker WHERE name = ANY (ARRAY(
        SELECT name FROM celeriac.worker WHERE expires <= t LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    DELETE FROM celeriac.sender WHERE name = ANY (ARRAY(
        SELECT name FROM celeriac.sender WHERE expires <= t LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    DELETE FROM celeriac.owner WHERE name = ANY (ARRAY(
        SELECT name FROM celeriac.owner o
        WHERE expires + CASE WHEN ended THEN p_memory ELSE 0 END <= t
            AND NOT EXISTS (SELECT 1 FROM celeriac.message m WHERE m.state = 3 AND m.owner = o.name)
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS went = ROW_COUNT;
    total := total + went;
    IF p_age IS NOT NULL THEN
        DELETE FROM celeriac.message WHERE seq IN (
            SELECT seq FROM celeriac.message WHERE state = 5 AND due <= t - p_age ORDER BY due LIMIT p_limit
            FOR UPDATE SKIP LOCKED
        );
        GET DIAGNOSTICS went = ROW_COUNT;
        total := total + went;
    END IF;
    RETURN total;
END $$;
