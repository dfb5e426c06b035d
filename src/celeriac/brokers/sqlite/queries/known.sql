-- The ids that there are messages for already.
SELECT id FROM message WHERE id IN (?/*items*/)
