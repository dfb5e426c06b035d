-- Drop the leases of those of these owners that hold nothing.
DELETE FROM owner
WHERE name IN (?/*items*/)
    AND NOT EXISTS (SELECT 1 FROM message WHERE state IN (3, 4) AND message.owner = owner.name)
