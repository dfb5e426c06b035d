-- Is there anything ready in these queues, anything due at all, and how is the lease of owner ?1 doing?
SELECT
    EXISTS (SELECT 1 FROM message WHERE state IN (1, 2) AND due <= (SELECT now())),
    (SELECT expires - now() FROM owner WHERE name = ?1),
    (SELECT ended FROM owner WHERE name = ?1),
    EXISTS (SELECT 1 FROM message WHERE state = 0 AND queue IN (?/*items*/))
