-- Schedule entries by their names.
SELECT name, edition, due, state, record FROM celeriac.entry WHERE name = ANY ($1)
