-- What is there to be cancelled, and who holds it? A dead letter is over; a person is meant to see it.
SELECT id, state IN (3, 4), owner FROM message WHERE state <> 5 AND id IN (?/*items*/)
