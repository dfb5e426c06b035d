-- Keep messages whose ids are not known yet; return the places (from 1) of the others.
-- p_within: in a transaction of the sender's own, which may take any time.
CREATE FUNCTION celeriac.enqueue(
    p_id text[], p_queue text[], p_task text[], p_priority smallint[], p_eta double precision[], p_payload bytea[],
    p_within boolean DEFAULT false
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    known integer[] := celeriac.keep(p_id, p_queue, p_task, p_priority, p_eta, p_payload);
BEGIN
    IF cardinality(known) < cardinality(p_id) THEN
        PERFORM celeriac.wake('work', p_within);
    END IF;
    RETURN known;
END $$;
