-- What is due: at most ?1 schedule entries and one more, to tell when the next is due.
SELECT name, edition, due, state FROM entry WHERE due <= now() ORDER BY due LIMIT ?1 + 1
