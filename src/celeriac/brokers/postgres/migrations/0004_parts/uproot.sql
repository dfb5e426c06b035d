-- Forget workflows; return how many there were.
CREATE OR REPLACE FUNCTION celeriac.uproot(p_id text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    went integer;
BEGIN
    DELETE FROM celeriac.workflow_slot WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow_message WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow_join WHERE workflow = ANY (p_id);
    DELETE FROM celeriac.workflow WHERE id = ANY (p_id);
    GET DIAGNOSTICS went = ROW_COUNT;
    -- Last: who notes a part holds the row of its workflow, and has been waited for.
    DELETE FROM celeriac.workflow_part WHERE workflow = ANY (p_id);
    RETURN went;
END $$;
