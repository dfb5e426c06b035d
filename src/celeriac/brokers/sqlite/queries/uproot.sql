-- Forget workflows.
DELETE FROM workflow WHERE id IN (?/*items*/) RETURNING id
