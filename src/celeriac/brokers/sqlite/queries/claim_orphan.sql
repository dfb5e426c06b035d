-- If owner ?1 is about to get something of these queues, and a reclaim ended its lease, take from it what that reclaim,
-- being limited, left with it: it starts anew, and would not look after that.
UPDATE message SET owner = NULL
WHERE state IN (3, 4) AND owner = ?1 AND EXISTS (SELECT 1 FROM owner WHERE name = ?1 AND ended)
    AND EXISTS (SELECT 1 FROM message WHERE state = 0 AND queue IN (?/*items*/))
