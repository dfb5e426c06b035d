-- What time is it, and has any owner's lease run out, or is anything held by an owner without a lease?
SELECT
    now(),
    EXISTS (SELECT 1 FROM owner WHERE NOT ended AND expires <= now())
    OR EXISTS (
        SELECT 1 FROM message INDEXED BY message_held
        WHERE state IN (3, 4)
            AND NOT EXISTS (SELECT 1 FROM owner WHERE owner.name = message.owner AND owner.expires > (SELECT now()))
    )
