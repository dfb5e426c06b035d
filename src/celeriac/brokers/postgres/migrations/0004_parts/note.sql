-- Remember a part of a workflow that is there.
CREATE FUNCTION celeriac.note(p_id text, p_number bigint, p_record bytea) RETURNS void LANGUAGE sql AS $$
    INSERT INTO celeriac.workflow_part (workflow, number, record)
    SELECT p_id, p_number, p_record FROM celeriac.workflow WHERE id = p_id FOR SHARE
    ON CONFLICT (workflow, number) DO NOTHING
$$;
