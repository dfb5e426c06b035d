-- Keep a remote command. Counting first lets one who broadcasts wait for another, so that commands become visible in
-- the order of their numbers and no reader's cursor passes one by.
CREATE FUNCTION celeriac.broadcast(p_expires_in double precision, p_record bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE celeriac.command_end SET value = value + 1 RETURNING value INTO number;
    INSERT INTO celeriac.command (seq, expires, record) VALUES (number, celeriac.now() + p_expires_in, p_record);
    PERFORM celeriac.wake('work', true);
END $$;
