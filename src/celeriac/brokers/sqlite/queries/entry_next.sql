-- The store's time, and when the first schedule entry after that is due.
SELECT t, (SELECT min(due) FROM entry WHERE due > t) FROM (SELECT now() AS t)
