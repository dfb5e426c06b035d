-- Keep answers to remote commands for p_ttl seconds.
CREATE FUNCTION celeriac.reply(p_command_id text[], p_ttl double precision, p_record bytea[])
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO celeriac.reply (command_id, expires, record)
    SELECT g.command_id, celeriac.now() + p_ttl, g.record
    FROM unnest(p_command_id, p_record) WITH ORDINALITY AS g (command_id, record, n) ORDER BY g.n;
    PERFORM celeriac.wake('work', true);
END $$;
