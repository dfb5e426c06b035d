-- Take from owners whose lease a reclaim ended what that reclaim, being limited, left with them. They are told that they
-- have lost everything, so nobody would look after it.
UPDATE message SET owner = NULL
WHERE state IN (3, 4) AND owner IN (SELECT name FROM owner WHERE ended AND name IN (?/*items*/))
