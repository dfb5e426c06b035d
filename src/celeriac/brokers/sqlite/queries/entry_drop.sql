-- Drop schedule entries; return their names.
DELETE FROM entry WHERE name IN (?/*items*/)
RETURNING name
