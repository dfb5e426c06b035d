-- Wake those who wait, at the commit; p_kind: 'work' or 'result'.
-- A NOTIFY costs every commit of the database a turn at one lock, so there is one for some milliseconds; whoever hears
-- it looks a second time when these are over. p_always is for transactions of unknown length, which that second look
-- may come too early for.
CREATE FUNCTION celeriac.wake(p_kind text, p_always boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment bigint := floor(date_part('epoch', clock_timestamp()) * 1000);
    last bigint;
BEGIN
    IF p_kind = 'work' THEN
        SELECT last_value INTO last FROM celeriac.wake_work;
    ELSE
        SELECT last_value INTO last FROM celeriac.wake_result;
    END IF;
    IF moment - last BETWEEN 0 AND 4 AND NOT p_always THEN
        RETURN;
    END IF;
    IF p_kind = 'work' THEN
        PERFORM setval('celeriac.wake_work', moment);
    ELSE
        PERFORM setval('celeriac.wake_result', moment);
    END IF;
    PERFORM pg_notify('celeriac:' || p_kind, '');
END $$;
