-- Forget how dead letters ended: they are about to wait again.
DELETE FROM result
WHERE id IN (SELECT id FROM message WHERE state = 5 AND id IN (?/*items*/))
