-- Forget workflows; return how many there were.
CREATE FUNCTION celeriac.uproot(p_id text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    went integer;
BEGIN
    DELETE FROM celeriac.workflow_slot WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow_message WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow_join WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow WHERE id = ANY (p_id);
    GET DIAGNOSTICS went = ROW_COUNT;
    RETURN went;
END $$;
-- Forget up to p_limit workflows that are over for long enough; return how many went.
CREATE FUNCTION celeriac.uproot_over(p_limit integer) RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT celeriac.uproot(ARRAY(
        SELECT id FROM celeriac.workflow WHERE expires IS NOT NULL AND expires <= celeriac.now()
        ORDER BY expires LIMIT p_limit FOR UPDATE SKIP LOCKED
    ))
$$;
