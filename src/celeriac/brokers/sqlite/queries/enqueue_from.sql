-- Note that call ?2 of sender ?1 came, to be remembered for ?3 seconds, unless that one or a later one is remembered.
-- before: what was noted before; with the number itself in it, the call is a repetition.
INSERT INTO sender (name, number, expires) VALUES (?1, ?2, now() + ?3)
ON CONFLICT (name) DO UPDATE SET
    before = CASE WHEN expires > (SELECT now()) THEN number ELSE 0 END,
    number = CASE WHEN expires > (SELECT now()) THEN max(number, excluded.number) ELSE excluded.number END,
    expires = max(expires, excluded.expires)
RETURNING before < ?2
