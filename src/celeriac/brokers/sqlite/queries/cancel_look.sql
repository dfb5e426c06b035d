-- What is there to be cancelled, and who holds it?
SELECT id, state, owner FROM message WHERE id IN (?/*items*/)
