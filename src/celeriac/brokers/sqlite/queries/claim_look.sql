-- Is there anything due at all, did a reclaim end the lease of owner ?1, and is there anything ready in these queues?
SELECT
    EXISTS (SELECT 1 FROM message WHERE state IN (1, 2) AND due <= (SELECT now())),
    (SELECT ended FROM owner WHERE name = ?1),
    EXISTS (SELECT 1 FROM message WHERE state = 0 AND queue IN (?/*items*/))
