-- Schedule entries by their names.
SELECT name, edition, due, state, record FROM entry WHERE name IN (?/*items*/)
