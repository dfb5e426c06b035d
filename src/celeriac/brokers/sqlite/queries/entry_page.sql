-- At most ?2 schedule entries after name ?1.
SELECT name, edition, due, state, record FROM entry WHERE name > ?1 ORDER BY name LIMIT ?2
