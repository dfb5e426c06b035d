-- Drop a worker's record, and the leases of those of its owners that hold nothing.
CREATE FUNCTION celeriac.forget(p_name text, p_owner text[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM celeriac.worker WHERE name = p_name;
    DELETE FROM celeriac.owner o WHERE o.name = ANY (p_owner)
        AND NOT EXISTS (SELECT 1 FROM celeriac.message m WHERE m.state = 3 AND m.owner = o.name);
END $$;
