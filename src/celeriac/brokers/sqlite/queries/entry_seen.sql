-- The edition and the due time of schedule entries.
SELECT name, edition, due FROM entry WHERE name IN (?/*items*/)
