-- Give a role to a holder for p_ttl seconds, unless another has it; tell whether it has it now.
CREATE FUNCTION celeriac.elect(p_role text, p_holder text, p_ttl double precision)
RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t double precision := celeriac.now();
BEGIN
    IF EXISTS (SELECT 1 FROM celeriac.role WHERE name = p_role AND holder <> p_holder AND expires > t) THEN
        RETURN false;
    END IF;
    INSERT INTO celeriac.role AS r (name, holder, expires) VALUES (p_role, p_holder, t + p_ttl)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
    WHERE r.holder = excluded.holder OR r.expires <= celeriac.now();
    RETURN FOUND;
END $$;
