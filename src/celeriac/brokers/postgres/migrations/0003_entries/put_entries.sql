-- Write schedule entries; return the places (from 1) of those that may not replace what is there.
-- p_replaces: the edition that may be replaced; 0: none, NULL: any. p_keeps: the due time of what is there stays.
CREATE FUNCTION celeriac.put_entries(
    p_name text[], p_edition bigint[], p_due double precision[], p_state bytea[], p_record bytea[],
    p_replaces bigint[], p_keeps boolean[]
) RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    refused integer[] := '{}';
    n integer;
    seen bigint;
BEGIN
    FOR n IN SELECT k FROM unnest(p_name) WITH ORDINALITY AS g (name, k) ORDER BY name COLLATE "C" LOOP
        IF p_replaces[n] = 0 THEN
            INSERT INTO celeriac.entry AS e (name, edition, due, state, record)
            VALUES (p_name[n], p_edition[n], p_due[n], p_state[n], p_record[n])
            ON CONFLICT (name) DO UPDATE SET edition = excluded.edition WHERE e.edition = excluded.edition;
        ELSIF p_replaces[n] IS NULL THEN
            INSERT INTO celeriac.entry AS e (name, edition, due, state, record)
            VALUES (p_name[n], p_edition[n], p_due[n], p_state[n], p_record[n])
            ON CONFLICT (name) DO UPDATE SET
                edition = excluded.edition, due = CASE WHEN p_keeps[n] THEN e.due ELSE excluded.due END,
                record = excluded.record;
        ELSE
            UPDATE celeriac.entry AS e
            SET edition = p_edition[n], due = CASE WHEN p_keeps[n] THEN e.due ELSE p_due[n] END, record = p_record[n]
            WHERE e.name = p_name[n] AND e.edition IN (p_replaces[n], p_edition[n]);
        END IF;
        IF NOT FOUND THEN
            refused := refused || n;
        END IF;
    END LOOP;
    PERFORM celeriac.wake('result', true);
    RETURN refused;
END $$;
