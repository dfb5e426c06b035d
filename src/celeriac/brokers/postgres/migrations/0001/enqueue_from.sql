-- Keep messages as enqueue does, unless the sender has sent this number or a later one before: then return all places.
CREATE FUNCTION celeriac.enqueue_from(
    p_sender text, p_number bigint, p_memory double precision,
    p_id text[], p_queue text[], p_task text[], p_priority smallint[], p_eta double precision[], p_payload bytea[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    t double precision := celeriac.now();
BEGIN
    INSERT INTO celeriac.sender AS s (name, number, expires) VALUES (p_sender, p_number, t + p_memory)
    ON CONFLICT ON CONSTRAINT sender_pkey DO UPDATE SET number = excluded.number, expires = excluded.expires
    WHERE s.number < excluded.number OR s.expires <= t;
    IF NOT FOUND THEN
        RETURN ARRAY(SELECT generate_series(1, cardinality(p_id)));
    END IF;
    RETURN celeriac.enqueue(p_id, p_queue, p_task, p_priority, p_eta, p_payload);
END $$;
